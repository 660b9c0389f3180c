"""The judge against a real HTTP server that speaks OpenAI's chat API: verdicts, outages, the cache and the cost."""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, chat_server, refuses, says, send, sends

from agents.grading import GradingPool
from protocol.jobs import EvaluateJob, PolicyRef, Question
from seal_runtime.config.judge import JudgeConfig
from seal_runtime.errors import GradeError
from seal_runtime.tasks.graders import make_grader
from seal_runtime.tasks.judge.judge import MAX_PAUSE_SECONDS, Judge
from seal_runtime.tasks.judge.prompt import judge_prompt, says_yes
from seal_runtime.tasks.prompts import answer_prompt

QUESTION = "Topic: Normandy\nWho gave it its name?"


def judge_for(server: ChatServer, tmp_path: Path, pauses: list[float] | None = None, **options: object) -> Judge:
    settings: dict[str, object] = {"base_url": server.url, "cache_dir": str(tmp_path / "judge"), "timeout_seconds": 20.0, **options}
    return Judge(JudgeConfig.model_validate(settings), sleep=(pauses if pauses is not None else []).append)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("yes", True),
        ("Yes.", True),
        ("**YES**", True),
        ("no", False),
        ("yes and no", False),
        ("No, yes would be wrong", False),
        ("maybe", False),
        ("yesterday", False),
        ("yes, I know nothing against it", True),
        ("", False),
    ],
)
def test_only_a_yes_without_a_no_counts(reply: str, expected: bool) -> None:
    assert says_yes(reply) is expected


def test_the_prompt_is_the_papers() -> None:
    prompt = judge_prompt("Topic: T\nWho?", "{gold}", "  an answer \n")
    assert prompt.startswith(
        "You are a grading assistant. Your job is to determine whether a student's answer correctly answers the question "
    )
    assert prompt.endswith(
        "Respond ONLY with 'yes' or 'no'.\n\nQuestion: Topic: T\nWho?\nGold answer: {gold}\nStudent answer: an answer\n"
        "Is the student answer correct based solely on the gold answer? Respond 'yes' or 'no'."
    )


def test_verdicts_are_kept_on_disk_and_the_cost_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sesame")
    prices = {"usd_per_million_input_tokens": 2.0, "usd_per_million_output_tokens": 8.0}
    with chat_server(says("yes"), says("no")) as server:
        judge = judge_for(server, tmp_path, api_key_env="MY_KEY", model="judge-1", **prices)
        assert [judge.grade(QUESTION, ("the Normans",), answer) for answer in ("Normans", "Danes", "Normans")] == [1.0, 0.0, 1.0]
        usage = judge.usage()
        assert (usage.answered, usage.failed, usage.cached) == (2, 0, 1)
        assert (usage.input_tokens, usage.output_tokens) == (300, 4)
        assert usage.usd == pytest.approx(300 * 2e-6 + 4 * 8e-6)
        judge.close()
        again = judge_for(server, tmp_path, api_key_env="MY_KEY", model="judge-1")
        assert again.grade(QUESTION, ("the Normans",), "Danes") == 0.0
        other_model = judge_for(server, tmp_path, api_key_env="MY_KEY", model="judge-2")
        other_model.grade(QUESTION, ("the Normans",), "Danes")
    assert [request["model"] for request in server.requests] == ["judge-1", "judge-1", "judge-2"]
    assert server.keys == ["Bearer sesame"] * 3
    assert server.requests[0]["messages"] == [{"role": "user", "content": judge_prompt(QUESTION, "the Normans", "Normans")}]
    assert server.requests[0]["temperature"] == 0.0


def test_an_empty_answer_is_wrong_without_asking(tmp_path: Path) -> None:
    with chat_server(says("yes")) as server:
        assert judge_for(server, tmp_path).grade(QUESTION, ("the Normans",), " \n") == 0.0
    assert server.requests == []


def test_no_key_and_no_temperature_are_sent_when_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with chat_server(says("yes")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
        judge_for(server, tmp_path, base_url=None, temperature=None).grade(QUESTION, ("x",), "x")
    assert server.keys == [None]
    assert "temperature" not in server.requests[0]


@pytest.mark.parametrize(
    "failure",
    [
        refuses(429),
        refuses(500),
        refuses(503),
        sends(b"<html>welcome</html>"),
        sends(b'{"choices": []}'),
        sends(b'{"choices": [{"message": {"content": [1]}}]}'),
        sends(b"[" * 100_000),
        says(None),
        says("  "),
        lambda handler: handler.connection.close(),
    ],
)
def test_what_may_pass_is_tried_again(tmp_path: Path, failure: "object") -> None:
    pauses: list[float] = []
    with chat_server(failure, failure, says("yes")) as server:  # type: ignore[arg-type]
        judge = judge_for(server, tmp_path, pauses, backoff_seconds=2.0)
        assert judge.grade(QUESTION, ("x",), "x") == 1.0
    assert 1.0 <= pauses[0] <= 2.0
    assert 2.0 <= pauses[1] <= 4.0
    assert judge.usage().failed == 2


def test_the_servers_wish_to_wait_is_kept_to_within_bounds(tmp_path: Path) -> None:
    pauses: list[float] = []
    wishes = (refuses(429, Retry_After="7"), refuses(429, Retry_After="86400"), refuses(503, Retry_After="Fri, 31 Dec 1999"))
    with chat_server(*wishes, says("no")) as server:
        assert judge_for(server, tmp_path, pauses, backoff_seconds=0.1).grade(QUESTION, ("x",), "x") == 0.0
    assert pauses[:2] == [7.0, MAX_PAUSE_SECONDS]
    assert pauses[2] < 1.0


def test_an_outage_is_an_error_and_never_a_grade(tmp_path: Path) -> None:
    with chat_server(refuses(500)) as server:
        judge = judge_for(server, tmp_path, max_retries=2)
        with pytest.raises(GradeError, match="answered 500"):
            judge.grade(QUESTION, ("x",), "x")
        assert len(server.requests) == 3
        server.behaviours = [says("yes")]
        assert judge.grade(QUESTION, ("x",), "x") == 1.0
    with pytest.raises(GradeError, match="reachable"):
        judge_for(server, tmp_path, max_retries=0).grade(QUESTION, ("x",), "another answer")


@pytest.mark.parametrize(("status", "advice"), [(400, "task.judge"), (401, "check the key"), (404, "base_url and model")])
def test_a_refusal_for_good_is_not_tried_again(tmp_path: Path, status: int, advice: str) -> None:
    with chat_server(refuses(status)) as server, pytest.raises(GradeError, match=f"{status}.*{advice}"):
        judge_for(server, tmp_path).grade(QUESTION, ("x",), "x")
    assert len(server.requests) == 1


def test_a_server_that_never_answers_or_trickles_meets_the_deadline(tmp_path: Path) -> None:
    release = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        release.wait(20)

    def trickles(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not release.wait(0.05):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    for behaviour in (silent, trickles):
        with chat_server(behaviour) as server:
            with pytest.raises(GradeError, match=r"within 0\.3 s"):
                judge_for(server, tmp_path, max_retries=0, timeout_seconds=0.3).grade(QUESTION, ("x",), "x")
            release.set()
        release.clear()


def test_no_more_requests_at_once_than_allowed(tmp_path: Path) -> None:
    all_there = threading.Barrier(3)

    def meets(handler: BaseHTTPRequestHandler) -> None:
        all_there.wait(20)
        says("yes")(handler)

    with chat_server(meets) as server:
        judge = judge_for(server, tmp_path, max_concurrent=3)
        threads = [threading.Thread(target=judge.grade, args=(QUESTION, ("x",), f"answer {index}"), daemon=True) for index in range(9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert server.most_open == 3
    assert len(server.requests) == 9


def test_jobs_get_their_verdicts_through_the_grading_pool(tmp_path: Path) -> None:
    config = JudgeConfig(cache_dir=str(tmp_path), max_retries=1, backoff_seconds=0.01)

    def by_answer(handler: BaseHTTPRequestHandler) -> None:
        said = str(server.requests[-1]["messages"])
        if "outage" in said:
            send(handler, 500, b"")
        else:
            says("yes" if "Student answer: right" in said else "no")(handler)

    questions = tuple(Question(question_id=f"q{index}", prompt=answer_prompt("T", f"Who {index}?"), answers=("x",)) for index in range(2))
    with chat_server(by_answer) as server:
        pool = GradingPool(make_grader("judge", config.model_copy(update={"base_url": server.url})), num_threads=1, timeout_seconds=30.0)
        fine, bad = (
            EvaluateJob(
                job_id=name,
                policy=PolicyRef(version=0, chain=()),
                adapter=None,
                questions=questions,
                max_new_tokens=4,
                stop="\n",
                scoring="mean",
            )
            for name in ("fine", "bad")
        )
        pool.submit(fine, ["right", "wrong"])
        pool.submit(bad, ["right", "outage"])
        found: dict[str, object] = {}
        deadline = time.monotonic() + 30
        while len(found) < 2:
            assert time.monotonic() < deadline
            found |= dict(pool.collect(0.01))
        pool.close()
    assert [answer.score for answer in found["fine"].answers] == [1.0, 0.0]  # type: ignore[attr-defined]
    assert isinstance(found["bad"], GradeError)
    assert "Question: Topic: T\nWho 0?\nGold answer: x" in server.requests[0]["messages"][0]["content"]  # type: ignore[index]


def test_an_unusable_cache_costs_money_and_no_job(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "verdicts.sqlite3").write_bytes(b"this is no database, but it is long enough to be looked at" * 40)
    with chat_server(says("yes")) as server:
        judge = judge_for(server, tmp_path)
        assert [judge.grade(QUESTION, ("x",), "x") for _ in range(2)] == [1.0, 1.0]
        (tmp_path / "file").write_text("")
        blocked = judge_for(server, tmp_path, cache_dir=str(tmp_path / "file" / "below"))
        assert blocked.grade(QUESTION, ("x",), "x") == 1.0
    assert len(server.requests) == 3


def test_an_answer_of_broken_unicode_is_graded(tmp_path: Path) -> None:
    with chat_server(says("no")) as server:
        judge = judge_for(server, tmp_path)
        assert [judge.grade(QUESTION, ("x",), "half \ud800 a pair") for _ in range(2)] == [0.0, 0.0]
    assert len(server.requests) == 1
