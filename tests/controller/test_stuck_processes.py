"""Real agents that hang, are stopped, or are merely slow, under a real controller: each is named as what it is, and the work goes on.

Nothing here depends on speed: the tests wait for what must come, and the agents' deadlines are short only to keep the tests so.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from socket_agents import SocketAgent, await_connection
from threaded_controller import ThreadedController, status_of, wait_for

from seal_runtime.config.loading import dump_topology
from seal_runtime.config.topology import Topology
from seal_runtime.ledger import LedgerReader

ROOT = Path(__file__).resolve().parent.parent.parent
MakeTopology = Callable[..., Topology]
LOCK_KEPT = "C code in it keeps all Python threads from running"


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Run:
    """A run of one context to propose for, its controller in a thread, and agents as processes."""

    def __init__(self, folder: Path, topology: Topology) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "topology.resolved.yaml").write_text(dump_topology(topology))
        self.controller = ThreadedController(folder)
        self.processes: list[subprocess.Popen[str]] = []
        self.helpers: list[SocketAgent] = []
        await_connection(folder / "connection.json")

    def start_agent(self, how: str, seconds: float) -> subprocess.Popen[str]:
        """Start a proposer that hangs at its first step."""
        command = [sys.executable, str(Path(__file__).with_name("hanging_agent.py")), how, str(seconds), "proposer", "--name", "proposer-0"]
        command += ["--connection", str(self.folder / "connection.json")]
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def problem(self, pattern: str) -> str:
        """Wait until the status names a problem; return its line."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [line for line in status_of(self.folder).problems if re.search(pattern, line)]
            return bool(found)

        wait_for(look)
        return found[0]

    def stuck_events(self) -> list[dict[str, Any]]:
        """Return what the controller has logged of stuck agents."""
        lines = (self.folder / "logs" / "controller.jsonl").read_text().splitlines()
        return [event for line in lines if (event := json.loads(line))["event"] == "agent_stuck"]

    def held_by(self, agent: str) -> tuple[str, ...]:
        """Return the jobs of an agent."""
        return next((entry.job_ids for entry in status_of(self.folder).agents if entry.agent == agent), ())

    def others_do(self, jobs: tuple[str, ...]) -> None:
        """Let another proposer come, and wait until it has done these jobs."""
        self.helpers.append(SocketAgent(self.folder, "proposer", "proposer-9"))

        def done_by() -> dict[str, str]:
            with LedgerReader(self.folder / "ledger.sqlite") as reader:
                return {row.job_id: row.agent for row in reader.results(stage="propose")}

        wait_for(lambda: set(jobs) <= done_by().keys())
        assert {done_by()[job] for job in jobs} == {"proposer-9"}

    def close(self) -> None:
        self.controller.stop_reason = "test over"
        self.controller.wait()
        for process in self.processes:
            process.kill()
            process.communicate(timeout=30)
        for helper in self.helpers:
            helper.join()


@pytest.fixture
def make_run(tmp_path: Path, make_topology: MakeTopology) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(**limits: float) -> Run:
        topology = make_topology(
            task={"name": "fictional"},
            proposer={"engine": "fake"},
            bus={"heartbeat_seconds": 0.2, "agent_timeout_seconds": 4.0},
            limits={"stuck_seconds": 3.0, **limits},
        )
        runs.append(Run(tmp_path / "toy", topology))
        return runs[-1]

    yield make
    for run in runs:
        run.close()


def test_a_hung_step_is_named_with_its_stack_and_then_ended(make_run: Callable[..., Run]) -> None:
    run = make_run(step_timeout_seconds=9.0)
    agent = run.start_agent("sleep", 600)
    line = run.problem(r"in one step for \d+ s, .* at .*hang_without_the_lock")
    assert re.match(
        r"proposer-0 \(proposer\) has been in one step for \d+ s, job \S+/propose and \d+ more, at controller/hanging_agent", line
    )
    jobs = run.held_by("proposer-0")
    event = run.stuck_events()[0]
    assert (event["worker"], event["worker_role"]) == ("proposer-0", "proposer")
    assert event["job"] in jobs
    assert "hang_without_the_lock < " in event["stack"]
    assert "agents/base.py" in event["stack"]
    assert agent.poll() is None
    gone = run.problem(r"proposer-0 \(proposer\) is gone \(in one step for \d+ s \(limits.step_timeout_seconds\)")
    assert "hang_without_the_lock" in gone
    assert agent.wait(60) == 5
    assert agent.stderr is not None
    assert "error: the main thread was in one step for" in agent.stderr.read()
    run.others_do(jobs)


@pytest.mark.parametrize(("how", "function"), [("lock", "hang_with_the_lock"), ("pattern", "hang_in_a_pattern")])
def test_code_that_keeps_the_interpreters_lock_is_named_with_its_stack(make_run: Callable[..., Run], how: str, function: str) -> None:
    run = make_run()
    agent = run.start_agent(how, 600)
    line = run.problem(rf"silent for \d+ s.*{function}")
    assert re.search(r"proposer-0 \(proposer\) .*job \S+/propose and \d+ more", line)
    assert LOCK_KEPT in line
    event = run.stuck_events()[-1]
    assert (event["worker_role"], event["condition"]) == ("proposer", f"its process lives, and {LOCK_KEPT}")
    assert function in event["stack"]
    assert "agents/base.py" in event["stack"]
    run.problem(r"proposer-0 \(proposer\) is gone \(silent for")
    assert agent.poll() is None
    run.others_do((event["job"],))


def test_a_stopped_agent_is_named_its_jobs_go_on_elsewhere_and_it_may_come_back(make_run: Callable[..., Run]) -> None:
    run = make_run()
    agent = run.start_agent("sleep", 2.0)
    wait_for(lambda: bool(run.held_by("proposer-0")))
    jobs = run.held_by("proposer-0")
    os.kill(agent.pid, signal.SIGSTOP)
    line = run.problem(r"proposer-0 .*stopped by a signal")
    assert f"`kill -CONT {agent.pid}` lets it go on" in line
    event = run.stuck_events()[-1]
    assert (event["worker_role"], event["condition"][:19]) == ("proposer", "stopped by a signal")
    assert event["job"] in jobs
    assert "agents/base.py" in event["stack"], "where it was a moment before"
    run.problem(r"proposer-0 \(proposer\) is gone \(silent for \d+ s: stopped by a signal")
    run.others_do(jobs)
    os.kill(agent.pid, signal.SIGCONT)
    wait_for(lambda: "proposer-0" in [entry.agent for entry in status_of(run.folder).agents])
    assert agent.poll() is None


def test_a_long_step_is_named_and_keeps_its_jobs(make_run: Callable[..., Run]) -> None:
    run = make_run()
    agent = run.start_agent("sleep", 7.0)
    wait_for(lambda: bool(run.held_by("proposer-0")))
    jobs = run.held_by("proposer-0")
    run.problem(r"proposer-0 \(proposer\) has been in one step for \d+ s.*hang_without_the_lock")

    def rows() -> dict[str, tuple[str, int]]:
        with LedgerReader(run.folder / "ledger.sqlite") as reader:
            return {row.job_id: (row.agent, row.attempt) for row in reader.results(stage="propose")}

    wait_for(lambda: set(jobs) <= rows().keys())
    assert {rows()[job] for job in jobs} == {("proposer-0", 1)}
    assert agent.poll() is None
    wait_for(lambda: not any("in one step" in line for line in status_of(run.folder).problems))
