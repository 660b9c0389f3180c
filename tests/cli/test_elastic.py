"""Agents come and go while a real run works: scaled, drained, stopped, killed, attached from elsewhere. Nothing is lost or done twice."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.jobs import JobResult
from seal_runtime.ledger import LedgerReader

sys.path.insert(0, str(Path(__file__).parent))
from live_runs import DEADLINE_SECONDS, TOPOLOGY, command, end, environment, running, seal, status_of, until

ONE_TRAINER = ("--set", "trainer.count=1")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elastic")
    (folder / "tiny.yaml").write_text(TOPOLOGY)
    return folder


def agents_of(name: str, workplace: Path, role: str = "trainer") -> dict[str, dict[str, object]]:
    agents = status_of(name, workplace)["agents"]
    assert isinstance(agents, list)
    return {agent["agent"]: agent for agent in agents if agent["role"] == role}


def work_of(name: str, workplace: Path, agent: str) -> int:
    return int(str(agents_of(name, workplace).get(agent, {"jobs_done": 0})["jobs_done"]))


def items_done(name: str, workplace: Path) -> int:
    return int(str(status_of(name, workplace)["items_done"]))


def scaled(name: str, workplace: Path, *counts: str) -> str:
    answer = seal("scale", *counts, "--run", name, "--timeout", str(DEADLINE_SECONDS), cwd=workplace)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def results_of(name: str, workplace: Path) -> dict[str, JobResult]:
    """Return the committed results. Nothing may have been set aside or have failed."""
    with LedgerReader(workplace / "runs" / name / "ledger.sqlite") as reader:
        assert list(reader.set_aside()) == []
        assert list(reader.failures()) == []
        return {row.job_id: row.result for row in reader.results()}


@contextlib.contextmanager
def attached(workplace: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command("attach", "trainer", *arguments),
        cwd=workplace,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        end(process)


def test_scaling_up_and_down_loses_nothing_and_changes_no_result(workplace: Path) -> None:
    with running(workplace, "elastic", *ONE_TRAINER) as launcher:
        up = scaled("elastic", workplace, "trainer=3", "evaluator=2")
        assert "trainer: 1 -> 3 after " in up
        assert "evaluator: 1 -> 2 after " in up
        assert set(agents_of("elastic", workplace)) == {"trainer-0", "trainer-1", "trainer-2"}
        until(lambda: all(work_of("elastic", workplace, f"trainer-{index}") for index in range(3)), "all three work")
        down = scaled("elastic", workplace, "trainer=1")
        assert "trainer: 3 -> 1" in down
        assert set(agents_of("elastic", workplace)) == {"trainer-0"}
        before = items_done("elastic", workplace)
        until(lambda: items_done("elastic", workplace) > before, "it goes on")
        assert seal("stop", "elastic", cwd=workplace).returncode == 0
        assert launcher.wait(DEADLINE_SECONDS) == 3
    elastic = results_of("elastic", workplace)
    with running(workplace, "calm", "--set", "trainer.count=2") as launcher:
        until(lambda: items_done("calm", workplace) > min(before, 1200), "as much is done calmly")
        assert seal("stop", "calm", cwd=workplace).returncode == 0
        assert launcher.wait(DEADLINE_SECONDS) == 3
    calm = results_of("calm", workplace)
    both = calm.keys() & elastic.keys()
    assert len(both) > 200
    assert [job_id for job_id in both if calm[job_id] != elastic[job_id]] == []


def test_a_resumed_run_has_the_numbers_that_were_wanted_last(workplace: Path) -> None:
    with running(workplace, "again", *ONE_TRAINER):
        scaled("again", workplace, "trainer=2", "critic=0")
        assert seal("stop", "again", cwd=workplace).returncode == 0
    wanted = {entry["role"]: entry["count"] for entry in status_of("again", workplace)["wanted"]}  # type: ignore[attr-defined]
    assert (wanted["trainer"], wanted["critic"], wanted["proposer"]) == (2, 0, 1)
    arguments = command("resume", "again", "--no-live")
    resumed = subprocess.Popen(arguments, cwd=workplace, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        until(lambda: status_of("again", workplace)["source"] == "bus", "the run is up again")
        until(lambda: set(agents_of("again", workplace)) == {"trainer-0", "trainer-1"}, "both trainers are back")
        assert agents_of("again", workplace, "critic") == {}
    finally:
        end(resumed)


def test_the_launcher_tells_those_who_were_stopped_from_those_who_died(workplace: Path) -> None:
    with running(workplace, "fates", "--set", "trainer.count=3"):
        until(lambda: len(agents_of("fates", workplace)) == 3, "all trainers are there")
        pids = {name: int(str(agent["pid"])) for name, agent in agents_of("fates", workplace).items()}
        assert seal("drain", "trainer-0", "fates", cwd=workplace).returncode == 0
        os.kill(pids["trainer-1"], signal.SIGTERM)
        os.kill(pids["trainer-2"], signal.SIGKILL)

        def settled() -> bool:
            agents = agents_of("fates", workplace)
            return set(agents) == {"trainer-2"} and agents["trainer-2"]["pid"] != pids["trainer-2"]

        until(settled, "the one that died is back, those that were stopped are gone")
        log = [json.loads(line) for line in (workplace / "runs" / "fates" / "logs" / "launch.jsonl").read_text().splitlines()]
        assert [(line["event"]) for line in log if line.get("process") == "trainer-2"][-3:] == [
            "process_died",
            "process_restarting",
            "process_started",
        ]
        assert {line["process"] for line in log if line["event"] == "agent_left"} == {"trainer-0", "trainer-1"}
        before = items_done("fates", workplace)
        until(lambda: items_done("fates", workplace) > before, "the run goes on")
        assert set(agents_of("fates", workplace)) == {"trainer-2"}, "nobody came back meanwhile"
        scaled("fates", workplace, "trainer=2")


def test_an_agent_with_a_copied_connection_file_outlives_the_controller(workplace: Path, tmp_path: Path) -> None:
    shutil.rmtree(workplace / "runs" / "far", ignore_errors=True)
    connection = workplace / "runs" / "far" / "connection.json"
    with running(workplace, "far", *ONE_TRAINER):
        copied = tmp_path / "copied.json"
        shutil.copy(connection, copied)
        elsewhere = ("--connection", str(copied), "--store", str(tmp_path / "own"), "--name", "far")
        with attached(tmp_path, *elsewhere) as agent:
            until(lambda: work_of("far", workplace, "far") > 0, "the far trainer works")
            old = json.loads(connection.read_text())
            os.kill(old["controller_pid"], signal.SIGKILL)
            until(lambda: json.loads(connection.read_text())["controller_pid"] != old["controller_pid"], "another controller is up")
            new = json.loads(connection.read_text())
            assert {**new, "controller_pid": 0, "started_at": 0} == {**old, "controller_pid": 0, "started_at": 0}
            until(lambda: work_of("far", workplace, "far") > 0, "the far trainer works for the new controller")
            assert agents_of("far", workplace)["far"]["pid"] == agent.pid
            assert json.loads(copied.read_text()) == old, "nobody touched the copy"
            assert "attached by hand: far" in scaled("far", workplace, "trainer=2")
            assert set(agents_of("far", workplace)) == {"trainer-0", "trainer-1", "far"}
            assert seal("drain", "far", "far", cwd=workplace).returncode == 0
            assert agent.wait(DEADLINE_SECONDS) == 0
        assert not list((tmp_path / "own").glob(".*")), "it cleaned up behind itself"
    results_of("far", workplace)


def test_without_a_launcher_the_numbers_have_no_keeper(workplace: Path) -> None:
    folder = workplace / "runs" / "by-hand"
    folder.mkdir(parents=True)
    shutil.copy(workplace / "tiny.yaml", folder / "topology.resolved.yaml")
    controller = subprocess.Popen([sys.executable, "-m", "seal_runtime.controller", "--run-dir", str(folder)], env=environment())
    try:
        until((folder / "connection.json").exists, "the controller is up")
        answer = seal("scale", "trainer=2", "--run", "by-hand", cwd=workplace)
        assert answer.returncode == 2
        assert "no launcher works in runs/by-hand" in answer.stderr
        assert "seal-runtime attach trainer --run runs/by-hand" in answer.stderr
    finally:
        controller.send_signal(signal.SIGTERM)
        assert controller.wait(DEADLINE_SECONDS) == 3


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (("trainer",), "expected ROLE=N as in trainer=4"),
        (("trainer=-1",), "expected ROLE=N as in trainer=4"),
        (("driver=2",), "expected one of the roles"),
        (("trainer=2", "trainer=3"), "expected each role once"),
        (("trainer=2",), "is not running"),
    ],
)
def test_what_cannot_be_scaled_is_refused(workplace: Path, counts: tuple[str, ...], expected: str) -> None:
    ended = workplace / "runs" / "ended"
    ended.mkdir(parents=True, exist_ok=True)
    (ended / "topology.resolved.yaml").write_text(TOPOLOGY)
    answer = seal("scale", *counts, "--run", "ended", cwd=workplace)
    assert answer.returncode == 2
    assert expected in answer.stderr
