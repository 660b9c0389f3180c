"""Runs in which one process is proposer and evaluator: the same results, one life, and one more can be attached."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from live_runs import DEADLINE_SECONDS, TOPOLOGY, command, environment, launched, running, seal, status_of, until

from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.records import ResultRow

SHARE = ("--set", "evaluator.share_engine=true")
REAL = """
run: {name: real, rounds: 1}
algorithm: {contexts_per_round: 3, edits_per_context: 2, lora: {rank: 8}, optim: {learning_rate: 1e-3, epochs: 1, max_length: 512}}
evaluation: {num_contexts: 2, edits_per_context: 1, baselines: false}
proposer: {sampling: {max_new_tokens: 40}}
trainer: {lora: {rank: 4, alpha: 8.0, targets: [gate_proj]}, optim: {learning_rate: 4e-3, epochs: 1, max_length: 160}}
evaluator: {max_new_tokens: 8}
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    (folder / "tiny.yaml").write_text(TOPOLOGY)
    (folder / "real.yaml").write_text(REAL)
    return folder


def results_of(run: Path) -> dict[str, ResultRow]:
    with LedgerReader(run / "ledger.sqlite") as ledger:
        return {row.job_id: row for row in ledger.results()}


def agents_of(name: str, cwd: Path) -> dict[str, dict[str, object]]:
    agents = status_of(name, cwd)["agents"]
    assert isinstance(agents, list)
    return {agent["agent"]: agent for agent in agents}


@pytest.mark.parametrize(("topology", "extra"), [("tiny.yaml", ("--set", "run.rounds=2")), ("real.yaml", ())])
def test_results_edits_and_policies_are_those_of_two_processes(topology: str, extra: tuple[str, ...], workplace: Path) -> None:
    found = []
    for name, options in (("apart", ()), ("together", SHARE)):
        run = f"{name}-{topology[:4]}"
        ended = launched("launch", topology, "--name", run, "--no-live", *extra, *options, cwd=workplace)
        assert ended.returncode == 0, ended.stderr
        found.append(results_of(workplace / "runs" / run))
    apart, together = found
    assert {row.agent for row in together.values()} >= {"proposer-0", "evaluator-0", "critic-0"}
    assert {row.policy_version for row in together.values()} >= {0, 1}, "the policy's update reached the shared engine"
    assert apart.keys() == together.keys()
    for job_id, row in apart.items():
        assert (row.score, row.result) == (together[job_id].score, together[job_id].result), job_id
    logs = workplace / "runs" / f"together-{topology[:4]}" / "logs"
    text = (logs / "proposer-0+evaluator-0.jsonl").read_text()
    assert text.count('"event": "agent_joined"') == 1, "nobody was started again for a new policy"


def test_a_killed_process_is_two_deaths_and_comes_back_as_both(workplace: Path) -> None:
    with running(workplace, "killed", *SHARE):
        agents = agents_of("killed", workplace)
        pid = agents["proposer-0"]["pid"]
        assert agents["evaluator-0"]["pid"] == pid
        os.kill(int(str(pid)), signal.SIGKILL)

        def is_back() -> bool:
            now = agents_of("killed", workplace)
            pids = {now[name]["pid"] for name in ("proposer-0", "evaluator-0") if name in now and now[name]["state"] != "starting"}
            return len(pids) == 1 and pid not in pids and {"proposer-0", "evaluator-0"} <= now.keys()

        until(is_back, "both roles are back")


def test_a_process_of_both_roles_joins_a_run_and_its_roles_are_drained_one_by_one(workplace: Path) -> None:
    with running(workplace, "joined"):
        late = subprocess.Popen(
            command("attach", "proposer+evaluator", "--run", "joined", "--name", "late-p+late-e"),
            cwd=workplace,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: int(str(agents_of("joined", workplace).get("late-e", {}).get("jobs_done", 0))) > 0, "the late evaluator works")
            assert seal("drain", "late-e", "joined", cwd=workplace).returncode == 0
            until(lambda: "late-e" not in agents_of("joined", workplace), "the late evaluator has left")
            assert late.poll() is None
            assert seal("drain", "late-p", "joined", cwd=workplace).returncode == 0
            assert late.wait(timeout=DEADLINE_SECONDS) == 0
        finally:
            late.kill()
            late.wait()
