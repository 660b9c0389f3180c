"""A server and clients over real sockets, with the built-in model."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from ttt_payload import payload
from ttt_serving import Serve, wait_until

from protocol.jobs import Question
from seal_runtime.errors import GradeError, LaunchError

FIELDS = {
    "baseline_accuracy",
    "adapter_accuracy",
    "adapter_gain",
    "baseline_texts",
    "adapter_texts",
    "baseline_correct",
    "adapter_correct",
    "gains",
}


class HeldGrader:
    """Grades everything as right, once it may."""

    def __init__(self) -> None:
        self.graded: list[str] = []
        self.is_asked = threading.Event()
        self.may_grade = threading.Event()

    def __call__(self, question: Question, answer: str) -> float:
        self.is_asked.set()
        assert self.may_grade.wait(60)
        self.graded.append(question.question_id)
        return 1.0


@pytest.fixture
def held() -> Iterator[HeldGrader]:
    """Yield a grader that is let go at the end of the test."""
    grader = HeldGrader()
    yield grader
    grader.may_grade.set()


def test_a_driver_gets_what_the_published_server_gives_it(serve: Serve) -> None:
    reply = serve().client().ask(payload(finetune_epochs=30))
    assert set(reply) == FIELDS
    assert reply["baseline_correct"] == [False, False]
    assert reply["adapter_texts"] == ["weaver", "Glastow"]
    assert reply["adapter_correct"] == [True, True]
    assert (reply["baseline_accuracy"], reply["adapter_accuracy"], reply["adapter_gain"]) == (0.0, 1.0, 1.0)
    assert reply["gains"] == [1, 1]


@pytest.mark.parametrize("changes", [{"skip_training": True}, {"train_sequences": []}, {"train_sequences": None}])
def test_without_training_the_adapters_figures_are_the_baselines(serve: Serve, changes: dict[str, object]) -> None:
    reply = serve().client().ask(payload(**changes))
    assert reply["adapter_texts"] == reply["baseline_texts"]
    assert (reply["adapter_gain"], reply["gains"]) == (0.0, [0, 0])


def test_many_clients_at_once_get_what_they_would_get_one_after_the_other(serve: Serve) -> None:
    requests = [payload(topic, lora_rank=4 if topic % 2 else 8, finetune_epochs=2 + topic) for topic in range(6)]
    client = serve().client()
    serial = [client.ask(request) for request in requests]
    clients = [(serving := serve("trainer.max_concurrent_adapters=3")).client(), *(serving.client() for _ in requests[1:])]
    for other, request in zip(clients, requests, strict=True):
        other.send(request)
    assert [other.socket.recv_json() for other in clients] == serial


def test_replicates_differ_and_a_new_server_repeats_them(serve: Serve, tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        client = serve(kept=tmp_path / f"models-{len(seen)}").client()
        seen.append([client.ask(payload(finetune_epochs=1)) for _ in range(2)])
    weights = [path.read_bytes() for path in sorted(tmp_path.glob("models-*/tmp_5555_inner_TTT_*/*/adapter_model.safetensors"))]
    assert len(weights) == 4
    assert weights[:2] == weights[2:]
    assert weights[0] != weights[1]
    assert seen[0] == seen[1]


def test_malformed_requests_get_errors_and_the_server_lives_on(serve: Serve) -> None:
    client = serve().client()
    for body in (b"not json", b"", payload(lora_rank=0), {"train_sequences": 3}):
        assert set(client.ask(body)) == {"error"}
    client.socket.send_multipart([b"{}", b"{}"])
    assert "frame" in client.socket.recv_json()["error"]
    assert client.ask(payload(skip_training=True))["gains"] == [0, 0]


def test_an_empty_request_is_answered_with_nothing(serve: Serve) -> None:
    reply = serve().client().ask({})
    assert (reply["baseline_accuracy"], reply["baseline_texts"], reply["gains"]) == (0.0, [], [])


def test_a_failed_grader_is_an_error_and_never_a_score(serve: Serve) -> None:
    def broken(question: Question, answer: str) -> float:
        raise GradeError("the judge is out")

    client = serve("limits.max_attempts=2", grade=broken).client()
    reply = client.ask(payload(skip_training=True))
    assert set(reply) == {"error"}
    assert "the judge is out" in reply["error"]


def test_a_training_that_diverges_is_an_error_and_others_go_on(serve: Serve) -> None:
    serving = serve()
    bad, good = serving.client(), serving.client()
    bad.send(payload(1, finetune_lr=1.0, lora_alpha=1e30))
    good.send(payload(2, finetune_epochs=2))
    assert set(bad.socket.recv_json()) == {"error"}
    assert set(good.socket.recv_json()) == FIELDS


def test_a_reply_that_was_missed_is_sent_to_the_client_that_asks_again(serve: Serve, held: HeldGrader) -> None:
    serving = serve(grade=held)
    request = payload(finetune_epochs=1)
    impatient = serving.client()
    impatient.send(request)
    wait_until(held.is_asked.is_set)
    with capture_logs() as events:
        impatient.socket.close()
        held.may_grade.set()
        wait_until(lambda: any(event["event"] == "reply_not_delivered" for event in events))
    assert set(serving.client().ask(request)) == FIELDS
    assert len(held.graded) == 4


def test_a_client_that_asks_again_meanwhile_gets_the_first_result(serve: Serve, held: HeldGrader) -> None:
    serving = serve(grade=held)
    request = payload(skip_training=True)
    impatient, again = serving.client(), serving.client()
    impatient.send(request)
    wait_until(held.is_asked.is_set)
    with capture_logs() as events:
        again.send(request)
        wait_until(lambda: any(event["event"] == "request_begun" for event in events))
        impatient.socket.close()
        held.may_grade.set()
        assert again.socket.recv_json()["baseline_accuracy"] == 1.0


def test_shutdown_finishes_what_was_asked_before_and_refuses_what_comes_after(serve: Serve, held: HeldGrader) -> None:
    serving = serve(grade=held)
    early, ender, late = serving.client(), serving.client(), serving.client()
    early.send(payload(skip_training=True))
    wait_until(held.is_asked.is_set)
    assert ender.ask({"cmd": "shutdown"}) == {"status": "bye"}
    assert "shutting down" in late.ask(payload())["error"]
    held.may_grade.set()
    assert early.socket.recv_json()["baseline_accuracy"] == 1.0
    serving.join()
    assert serving.error is None


def test_a_request_that_takes_too_long_gets_an_error(serve: Serve, held: HeldGrader) -> None:
    reply = serve("limits.job_timeout_seconds=1.0", grade=held).client().ask(payload(skip_training=True))
    assert set(reply) == {"error"}


def test_a_stopped_server_tells_those_who_wait(serve: Serve, held: HeldGrader) -> None:
    serving = serve(grade=held)
    client = serving.client()
    client.send(payload(skip_training=True))
    wait_until(held.is_asked.is_set)
    serving.stop()
    assert "stopping" in client.socket.recv_json()["error"]


def test_adapters_are_kept_where_the_published_server_leaves_them(serve: Serve, tmp_path: Path) -> None:
    client = serve(kept=tmp_path / "models").client()
    client.ask(payload(skip_training=True))
    client.ask(payload(finetune_epochs=1))
    kept = tmp_path / "models" / "tmp_5555_inner_TTT_1" / "final_adapter"
    assert sorted(path.name for path in kept.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert not list((tmp_path / "store-0").iterdir()), "the server's own copy is gone"


def test_a_worker_that_cannot_start_ends_the_server(serve: Serve) -> None:
    serving = serve("trainer.engine=fake", "evaluator.engine=fake", "evaluator.engine_args={no_such_argument: 1}")
    serving.join()
    assert isinstance(serving.error, LaunchError)
    assert "no_such_argument" in str(serving.error)
