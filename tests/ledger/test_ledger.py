"""The ledger keeps what it was given, whole batches only, for one writer at a time."""

import multiprocessing
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.jobs import EvaluateJob, EvaluateResult, GradedAnswer, PolicyRef, Question, Receipt
from seal_runtime.errors import LedgerError
from seal_runtime.ledger import Ledger, LedgerReader
from seal_runtime.ledger.records import (
    AgentGone,
    AgentJoined,
    FailureRecord,
    JobKey,
    PolicyRecord,
    ResultRecord,
    SetAsideRecord,
)


def evaluation(index: int, score: float = 0.5) -> ResultRecord:
    key = JobKey(stage="evaluate", study="round-1", context_id="c", edit_index=index, replicate=0)
    question = Question(question_id="q", prompt="p", answers=("yes",))
    policy = PolicyRef(version=0, chain=())
    job = EvaluateJob(job_id=key.job_id, policy=policy, adapter=None, questions=(question,), max_new_tokens=8, stop="\n", scoring="mean")
    answer = GradedAnswer(question_id="q", text="naïve \u2603", score=score)
    result = EvaluateResult(
        answers=(answer,), score=score, receipt=Receipt(adapter_sha256="", policy_version=0, policy_sha256s=(), probe_delta=0.0)
    )
    return ResultRecord(
        key=key,
        policy_version=0,
        attempt=1,
        agent="evaluator-0",
        started_at=5.0,
        duration_seconds=0.25,
        score=score,
        job=job,
        result=result,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_what_was_committed_is_read_back_equal_and_in_order(path: Path) -> None:
    ledger = Ledger(path)
    ledger.commit([evaluation(1), SetAsideRecord(job_id="x", reason="poison"), evaluation(0, 0.1)], now=10.0, meta={"run_id": "r"})
    ledger.commit([PolicyRecord(version=1, parent=0, round=1, adapter_sha256="a" * 64, rank=8, num_bytes=9)], now=11.0)
    failure = FailureRecord(job_id="y", attempt=2, agent="a", error_type="E", reason="why", retryable=True)
    joined = AgentJoined(agent="trainer-0", incarnation="i", role="trainer", hostname="h", pid=3, gpus=(0, 1))
    ledger.commit([failure, joined, AgentGone(agent="trainer-0", incarnation="i", reason="done")], now=12.0)
    with LedgerReader(path) as reader:
        rows = list(reader.results())
        assert [(row.job_id, row.seq, row.committed_at, row.score) for row in rows] == [
            ("round-1/c/e1/r0/evaluate", 1, 10.0, 0.5),
            ("round-1/c/e0/r0/evaluate", 3, 10.0, 0.1),
        ]
        assert rows[0].job == evaluation(1).job
        assert rows[0].result == evaluation(1).result
        assert (rows[0].stage, rows[0].edit_index, rows[0].replicate, rows[0].agent) == ("evaluate", 1, 0, "evaluator-0")
        assert [(row.seq, row.job_id) for row in reader.set_aside()] == [(2, "x")]
        assert reader.meta() == {"schema_version": "1", "run_id": "r"}
        assert [(row.version, row.parent, row.created_at) for row in reader.policies()] == [(1, 0, 11.0)]
        assert [(row.attempt, row.retryable, row.at) for row in reader.failures()] == [(2, True, 12.0)]
        assert [(row.gpus, row.joined_at, row.left_at, row.reason) for row in reader.agents()] == [((0, 1), 12.0, 12.0, "done")]
        assert reader.counts() == {("round-1", "evaluate"): 2}
        assert reader.job_ids("evaluate") == [row.job_id for row in rows]
        assert reader.result("round-1/c/e0/r0/evaluate") == rows[1]
        assert reader.result("nothing") is None
        assert list(reader.results(study="round-2")) == []
        assert len(list(reader.results(study="round-1", stage="evaluate"))) == 2
    ledger.close()


def test_the_order_continues_after_reopening(path: Path) -> None:
    for index in range(3):
        ledger = Ledger(path)
        ledger.commit([evaluation(index)], now=1.0)
        ledger.close()
    with LedgerReader(path) as reader:
        assert [row.edit_index for row in reader.results()] == [0, 1, 2]


def test_a_second_result_of_a_job_is_refused_and_its_batch_with_it(path: Path) -> None:
    ledger = Ledger(path)
    ledger.commit([evaluation(0)], now=1.0)
    with pytest.raises(LedgerError, match="nothing of it was written"):
        ledger.commit([evaluation(1), evaluation(0, 0.9)], now=2.0, meta={"phase": "done"})
    ledger.commit([evaluation(2)], now=3.0)
    with LedgerReader(path) as reader:
        assert [(row.edit_index, row.score) for row in reader.results()] == [(0, 0.5), (2, 0.5)]
        assert "phase" not in reader.meta()
    ledger.close()


def test_a_full_disk_is_a_clear_error_and_nothing_is_half_written(path: Path) -> None:
    ledger = Ledger(path)
    ledger.commit([evaluation(0)], now=1.0)
    pages = ledger._database.execute("PRAGMA page_count").fetchone()[0]
    ledger._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerError, match=r"full.*Free disk space"):
        ledger.commit([evaluation(index) for index in range(1, 200)], now=2.0)
    ledger._database.execute(f"PRAGMA max_page_count = {pages * 100}")
    ledger.commit([evaluation(1)], now=3.0)
    with LedgerReader(path) as reader:
        assert [row.edit_index for row in reader.results()] == [0, 1]
    ledger.close()


def test_a_second_controller_is_refused_until_the_first_is_gone(path: Path) -> None:
    first = Ledger(path)
    with pytest.raises(LedgerError, match="another controller"):
        Ledger(path)
    first.close()
    first.close()
    Ledger(path).close()


def _commit_and_die(path: Path, started: "multiprocessing.synchronize.Event") -> None:
    ledger = Ledger(path)
    ledger.commit([evaluation(0)], now=1.0)
    ledger._database.execute("BEGIN IMMEDIATE")
    ledger._database.execute("INSERT INTO meta VALUES ('half', 'written')")
    started.set()
    multiprocessing.Event().wait(60)


def test_sigkill_loses_nothing_committed_and_frees_the_lock(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=_commit_and_die, args=(path, started), daemon=True)
    process.start()
    assert started.wait(60)
    process.kill()
    process.join(60)
    with LedgerReader(path) as reader:
        assert len(list(reader.results())) == 1
    ledger = Ledger(path)
    assert "half" not in ledger.meta()
    ledger.close()


def test_an_unknown_schema_version_is_refused_by_writer_and_reader(path: Path) -> None:
    Ledger(path).close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    database.close()
    for open_it in (Ledger, LedgerReader):
        with pytest.raises(LedgerError, match="schema version 99"):
            open_it(path)


@pytest.mark.parametrize("open_it", [Ledger, LedgerReader])
def test_a_file_that_is_no_ledger_is_named(open_it: Callable[[Path], object], path: Path) -> None:
    path.write_bytes(b"this is no database at all, but long enough to look at" * 30)
    with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
        open_it(path)
    other = path.with_name("other.sqlite")
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE something (x)")
    database.close()
    with pytest.raises(LedgerError, match="not a ledger"):
        open_it(other)


def test_a_missing_ledger_is_a_clear_error(path: Path) -> None:
    with pytest.raises(LedgerError, match="found none"):
        LedgerReader(path)


def test_a_damaged_result_is_named(path: Path) -> None:
    ledger = Ledger(path)
    ledger.commit([evaluation(0)], now=1.0)
    ledger.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE results SET result = x'00'")
    database.close()
    with LedgerReader(path) as reader, pytest.raises(LedgerError, match="unreadable result of round-1/c/e0/r0/evaluate"):
        list(reader.results())


def test_forgotten_records_may_come_again(path: Path) -> None:
    ledger = Ledger(path)
    ledger.commit([evaluation(0), SetAsideRecord(job_id="x", reason="r")], now=1.0)
    ledger.forget_results(["round-1/c/e0/r0/evaluate"])
    ledger.forget_set_aside(["x"])
    ledger.commit([evaluation(0, 0.25)], now=2.0)
    with LedgerReader(path) as reader:
        assert [row.score for row in reader.results()] == [0.25]
        assert reader.set_aside() == []
    ledger.close()
