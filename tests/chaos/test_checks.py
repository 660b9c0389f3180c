"""Each check on ledgers and folders that were spoiled on purpose: what is wrong is found, and nothing else is blamed."""

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from varied_task import VariedTask

from protocol.codec import decode_job, decode_result, encode_job, encode_result
from protocol.jobs import AdaptJob, CreditJob, EvaluateResult
from seal_runtime.chaos.checks import Check
from seal_runtime.chaos.comparison import check_same, jobs_started, measure_cost, refuse_incomparable
from seal_runtime.chaos.ledger_audit import LedgerAudit, read_audit
from seal_runtime.chaos.leftovers import check_adapters, check_files, check_processes, scratch_paths
from seal_runtime.chaos.verification import verify_ledger
from seal_runtime.config.loading import load_resolved
from seal_runtime.config.topology import Topology
from seal_runtime.controller.plan import make_plan
from seal_runtime.errors import ConfigError, LedgerError
from seal_runtime.store.run_directory import RunDirectory

Spoil = Callable[[sqlite3.Connection], object]
AN_ADAPTER_JOB = (
    "SELECT job_id FROM results WHERE stage = 'evaluate' AND study = 'round-1' "
    "AND replace(job_id, '/evaluate', '/adapt') IN (SELECT job_id FROM results) ORDER BY job_id LIMIT 1"
)
"""The examination of an adapter; some edits of the task train none."""


@pytest.fixture
def run(finished: dict[str, Any], tmp_path: Path) -> RunDirectory:
    """A copy of the disturbed run, to be spoiled."""
    shutil.copytree(finished["run_dir"], tmp_path / "run")
    return RunDirectory(tmp_path / "run")


@pytest.fixture(scope="module")
def calm(finished: dict[str, Any]) -> LedgerAudit:
    return read_audit(RunDirectory(Path(finished["calm_dir"])).ledger)


def topology_of(run: RunDirectory) -> Topology:
    return load_resolved(run.topology)


def spoil(run: RunDirectory, *steps: Spoil) -> LedgerAudit:
    """Change the ledger behind everybody's back, constraints and all, and read it."""
    database = sqlite3.connect(run.ledger)
    columns = [row[1] for row in database.execute("PRAGMA table_info(results)")]
    database.execute("CREATE TABLE loose AS SELECT * FROM results")
    database.execute("DROP TABLE results")
    database.execute("ALTER TABLE loose RENAME TO results")
    assert "job_id" in columns
    for step in steps:
        step(database)
    database.commit()
    database.close()
    return read_audit(run.ledger)


def verdicts(run: RunDirectory, audit: LedgerAudit) -> dict[str, Check]:
    topology, task = topology_of(run), VariedTask()
    checks = verify_ledger(audit, topology, make_plan(topology, task), task, exit_code=0)
    return {check.name: check for check in checks}


def failed(run: RunDirectory, audit: LedgerAudit) -> set[str]:
    return {name for name, check in verdicts(run, audit).items() if not check.passed}


def rewritten(query: str, change: Callable[[Any], Any], *, column: str) -> Spoil:
    """Return a step that changes the job or result of the first row of a query."""

    def step(database: sqlite3.Connection) -> None:
        decode, encode = (decode_job, encode_job) if column == "job" else (decode_result, encode_result)
        job_id, blob = database.execute(f"SELECT job_id, {column} FROM results WHERE job_id = ({query})").fetchone()
        changed: Any = encode(change(decode(blob)))  # type: ignore[operator]
        database.execute(f"UPDATE results SET {column} = ? WHERE job_id = ?", (changed, job_id))

    return step


def test_an_untouched_ledger_passes(run: RunDirectory) -> None:
    assert failed(run, spoil(run)) == set()


def test_a_lost_result_is_found(run: RunDirectory) -> None:
    audit = spoil(run, lambda database: database.execute(f"DELETE FROM results WHERE job_id = ({AN_ADAPTER_JOB})"))
    found = verdicts(run, audit)
    assert "round-1/" in found["nothing lost"].problems[0]
    assert "neither committed nor set aside" in found["nothing lost"].problems[0]
    assert failed(run, audit) == {"nothing lost", "every reward once"}


def test_a_lost_result_is_excused_by_a_reason_but_not_by_an_empty_one(run: RunDirectory) -> None:
    def set_aside(reason: str) -> Spoil:
        return lambda database: database.execute(f"INSERT INTO set_aside SELECT 99999, ({AN_ADAPTER_JOB}), ?", (reason,))

    def drop(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM results WHERE job_id IN (SELECT job_id FROM set_aside)")

    audit = spoil(run, set_aside("poison"), drop)
    assert "nothing lost" not in failed(run, audit)
    spoil(run, lambda database: database.execute("UPDATE set_aside SET reason = ''"))
    assert "without a reason" in verdicts(run, read_audit(run.ledger))["nothing lost"].problems[0]


def test_a_double_commit_is_found(run: RunDirectory) -> None:
    audit = spoil(run, lambda database: database.execute(f"INSERT INTO results SELECT * FROM results WHERE job_id = ({AN_ADAPTER_JOB})"))
    assert failed(run, audit) == {"nothing twice"}
    assert "committed 2 times" in verdicts(run, audit)["nothing twice"].problems[0]


def test_a_double_commit_under_another_id_is_found(run: RunDirectory) -> None:
    def twice(database: sqlite3.Connection) -> None:
        database.execute(f"CREATE TEMP TABLE copy AS SELECT * FROM results WHERE job_id = ({AN_ADAPTER_JOB})")
        database.execute("UPDATE copy SET job_id = 'another', seq = 99999")
        database.execute("INSERT INTO results SELECT * FROM copy")

    assert "nothing twice" in failed(run, spoil(run, twice))


def test_a_job_that_nobody_planned_is_found(run: RunDirectory) -> None:
    audit = spoil(run, lambda database: database.execute(f"UPDATE results SET context_id = 'elsewhere' WHERE job_id = ({AN_ADAPTER_JOB})"))
    assert any("not planned" in problem for problem in verdicts(run, audit)["nothing lost"].problems)


def test_a_swapped_receipt_is_found(run: RunDirectory) -> None:
    def swap(result: EvaluateResult) -> EvaluateResult:
        return replace(result, receipt=replace(result.receipt, adapter_sha256="0" * 64))

    audit = spoil(run, rewritten(AN_ADAPTER_JOB, swap, column="result"))
    assert failed(run, audit) == {"receipts valid"}
    assert "the receipt names adapter 000000000000" in verdicts(run, audit)["receipts valid"].problems[0]


def test_an_adapter_without_effect_is_found(run: RunDirectory) -> None:
    def deaden(result: EvaluateResult) -> EvaluateResult:
        return replace(result, receipt=replace(result.receipt, probe_delta=0.0))

    assert failed(run, spoil(run, rewritten(AN_ADAPTER_JOB, deaden, column="result"))) == {"receipts valid"}


def test_a_changed_score_is_found(run: RunDirectory) -> None:
    audit = spoil(run, lambda database: database.execute(f"UPDATE results SET score = 0.123 WHERE job_id = ({AN_ADAPTER_JOB})"))
    assert failed(run, audit) == {"receipts valid", "every reward once"}


def test_a_reward_that_credit_saw_twice_is_found(run: RunDirectory) -> None:
    def double(job: CreditJob) -> CreditJob:
        group = job.groups[0]
        return replace(job, groups=(replace(group, edits=(*group.edits, group.edits[0])), *job.groups[1:]))

    audit = spoil(run, rewritten("SELECT 'round-1/credit'", double, column="job"))
    assert failed(run, audit) == {"every reward once"}


def test_a_reward_that_credit_never_saw_is_found(run: RunDirectory) -> None:
    def omit(job: CreditJob) -> CreditJob:
        group = job.groups[0]
        return replace(job, groups=(replace(group, edits=group.edits[1:]), *job.groups[1:]))

    assert failed(run, spoil(run, rewritten("SELECT 'round-1/credit'", omit, column="job"))) == {"every reward once"}


def test_a_foreign_seed_is_found(run: RunDirectory) -> None:
    query = "SELECT job_id FROM results WHERE stage = 'adapt' ORDER BY job_id LIMIT 1"
    audit = spoil(run, rewritten(query, lambda job: replace(job, seed=job.seed + 1), column="job"))
    assert failed(run, audit) == {"seeds as derived"}


def test_training_on_another_edit_is_found(run: RunDirectory) -> None:
    def other_texts(job: AdaptJob) -> AdaptJob:
        return replace(job, sequences=(replace(job.sequences[0], completion="something else"), *job.sequences[1:]))

    query = "SELECT job_id FROM results WHERE stage = 'adapt' ORDER BY job_id LIMIT 1"
    assert failed(run, spoil(run, rewritten(query, other_texts, column="job"))) == {"receipts valid"}


def test_a_policy_that_its_update_did_not_make_is_found(run: RunDirectory) -> None:
    audit = spoil(run, lambda database: database.execute("UPDATE policies SET adapter_sha256 = 'x' WHERE version = 1"))
    assert failed(run, audit) == {"policies in line"}


def test_a_run_that_did_not_finish_is_said(run: RunDirectory) -> None:
    audit = spoil(run, lambda database: database.execute("UPDATE meta SET value = 'stopped' WHERE key = 'phase'"))
    assert failed(run, audit) == {"run finished"}


def test_a_ledger_that_cannot_be_read_is_an_error(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="expected a ledger"):
        read_audit(tmp_path / "nothing")
    with pytest.raises(LedgerError, match="unreadable result"):
        spoil(run, lambda database: database.execute(f"UPDATE results SET result = x'00' WHERE job_id = ({AN_ADAPTER_JOB})"))


def test_another_score_text_choice_or_policy_than_in_the_calm_run_is_found(run: RunDirectory, calm: LedgerAudit) -> None:
    def different(*steps: Spoil) -> set[str]:
        return {check.name for check in check_same(spoil(run, *steps), calm) if not check.passed}

    assert different() == set()
    assert different(lambda database: database.execute(f"UPDATE results SET score=2 WHERE job_id = ({AN_ADAPTER_JOB})")) == {"same scores"}
    assert different(lambda database: database.execute("DELETE FROM results WHERE job_id = 'round-2/credit'")) >= {"same edits chosen"}
    assert "same policies" in different(lambda database: database.execute("DELETE FROM policies WHERE version = 2"))


def test_left_over_files_and_adapters_are_found(run: RunDirectory) -> None:
    audit, topology, before = read_audit(run.ledger), topology_of(run), scratch_paths()
    assert check_files(run, before).passed
    assert check_adapters(run, topology, audit).passed
    (run.adapters / ".staging-1").mkdir()
    run.connection.write_text("{}")
    assert check_files(run, before).num_problems == 2
    (run.adapters / ("ab" * 32)).mkdir()
    policy = run.adapters / audit.policies[1]
    tensors = next(policy.glob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"?")
    problems = " ".join(check_adapters(run, topology, audit).problems)
    assert "should have been deleted" in problems
    assert "is damaged" in problems
    shutil.rmtree(policy)
    assert "is missing" in " ".join(check_adapters(run, topology, audit).problems)


def test_a_process_that_lives_on_is_found(run: RunDirectory) -> None:
    assert check_processes(run).passed
    process = subprocess.Popen(["tail", "-f", str(run.topology)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20.0
        while check_processes(run).passed:  # the kernel shows a command line a moment after the process is there
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()


def test_the_cost_counts_jobs_that_were_begun_again(run: RunDirectory, finished: dict[str, Any], calm: LedgerAudit) -> None:
    audit = read_audit(run.ledger)
    assert jobs_started(run.logs) >= len(audit.rows)
    calm_dir = Path(finished["calm_dir"])
    cost = measure_cost(run.root, audit, calm_dir, calm)
    assert cost.num_jobs == len(audit.rows)
    assert cost.num_redone > cost.num_redone_calm
    assert cost.num_redone == finished["cost"]["num_redone"]


def test_a_calm_run_may_differ_in_names_limits_and_numbers_of_agents_only(run: RunDirectory) -> None:
    topology = topology_of(run)
    fine = topology.model_copy(update={"run": topology.run.model_copy(update={"name": "other", "dir": "elsewhere"})})
    fine = fine.model_copy(update={"trainer": topology.trainer.model_copy(update={"count": 5})})
    refuse_incomparable(fine, topology)
    other = topology.model_copy(update={"algorithm": topology.algorithm.model_copy(update={"edits_per_context": 9})})
    with pytest.raises(ConfigError, match=r"algorithm\.edits_per_context \(3 there, 9 here\)"):
        refuse_incomparable(other, topology)
