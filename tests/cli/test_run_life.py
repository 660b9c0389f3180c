"""Whole runs through the command line, from launch to export."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from live_runs import DEADLINE_SECONDS, TOPOLOGY, Answer, command, environment, launched, processes_of, running, seal, status_of, until

from launch.run_setup import claim
from seal_runtime.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "tiny.yaml").write_text(TOPOLOGY)
    return folder


@pytest.fixture(scope="module")
def finished(workplace: Path) -> Answer:
    """A run `first` with its control, both finished."""
    return launched("launch", "tiny.yaml", "--name", "first", "--control", "random", "--no-live", cwd=workplace)


@pytest.fixture
def going(workplace: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A run that goes on for long."""
    name = request.node.name[:40]
    with running(workplace, name) as process:
        yield name, process


def test_launch_prints_the_table_and_the_edits_and_writes_the_report(finished: Answer, workplace: Path) -> None:
    assert finished.returncode == 0, finished.stderr
    for expected in (
        "no update",
        "after round 1",
        "Best self-edit",
        "Worst self-edit",
        "now the control",
        "attach trainer --run runs/first",
    ):
        assert expected in finished.stdout
    assert "<html" in (workplace / "runs" / "first" / "report.html").read_text()
    assert processes_of(workplace) == []


def test_the_control_differs_in_its_choice_of_edits_only(finished: Answer, workplace: Path) -> None:
    control = workplace / "runs" / "first-control-random"
    assert "select: random" in (control / "topology.resolved.yaml").read_text()
    assert status_of(str(control), workplace)["phase"] == "done"
    assert "random" in seal("report", "first", cwd=workplace).stdout


def test_status_of_a_finished_run_comes_from_the_ledger(finished: Answer, workplace: Path) -> None:
    status = status_of("first", workplace)
    assert (status["source"], status["phase"], status["policy_version"]) == ("ledger", "done", 1)
    assert status["items_done"] == status["items_total"]
    studies = status["studies"]
    assert isinstance(studies, list)
    assert {"round-1", "heldout-v0", "heldout-v1", "no-update"} <= {study["study"] for study in studies}


def test_report_is_readable_by_machines(finished: Answer, workplace: Path) -> None:
    result = seal("report", "first", "--json", cwd=workplace)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["identity"]["run"] == "first"


def test_logs_hold_all_processes(finished: Answer, workplace: Path) -> None:
    lines = [json.loads(line) for line in seal("logs", "first", "--json", cwd=workplace).stdout.splitlines()]
    expected = {"launch", "controller", "proposer-0", "trainer-0", "trainer-1", "evaluator-0", "critic-0"}
    assert expected <= {line["agent"] for line in lines}
    times = [line["time"] for line in lines]
    assert times == sorted(times)


def test_a_finished_run_is_neither_overwritten_nor_resumed(finished: Answer, workplace: Path) -> None:
    again = seal("launch", "tiny.yaml", "--name", "first", cwd=workplace)
    assert again.returncode == 2
    assert "already holds a run" in again.stderr
    resumed = seal("resume", "first", cwd=workplace)
    assert resumed.returncode == 0
    assert "is finished" in resumed.stdout


def test_a_near_miss_of_a_run_is_suggested(finished: Answer, workplace: Path) -> None:
    assert "did you mean first" in seal("status", "frist", cwd=workplace).stderr


def test_nobody_answers_for_a_finished_run(finished: Answer, workplace: Path) -> None:
    for arguments in (("stop", "first"), ("drain", "trainer-0", "first"), ("attach", "trainer", "--run", "first")):
        result = seal(*arguments, cwd=workplace)
        assert result.returncode == 2
        assert "runs/first" in result.stderr


def test_a_topologys_own_name_is_numbered(workplace: Path) -> None:
    (workplace / "runs" / "tiny").mkdir(parents=True)
    (workplace / "runs" / "tiny" / "file").write_text("")
    nothing = ("--set", "run.rounds=0", "--set", "evaluation.retention=false", "--set", "evaluation.baselines=false")
    result = launched("launch", "tiny.yaml", "--no-live", *nothing, cwd=workplace)
    assert result.returncode == 0, result.stderr
    assert "this run is called tiny-2" in result.stdout
    assert "name: tiny-2" in (workplace / "runs" / "tiny-2" / "topology.resolved.yaml").read_text()


def test_a_stopped_run_is_resumed(going: tuple[str, subprocess.Popen[str]], workplace: Path) -> None:
    name, process = going
    assert "error: another launch" in seal("launch", "tiny.yaml", "--name", name, cwd=workplace).stderr
    stopped = seal("stop", name, cwd=workplace)
    assert stopped.returncode == 0, stopped.stderr
    output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 3
    assert f"seal-runtime resume runs/{name}" in output
    assert processes_of(workplace / "runs" / name) == []
    before = status_of(name, workplace)
    assert (before["source"], before["phase"]) == ("ledger", "stopped")
    resumed = subprocess.Popen(
        command("resume", name, "--no-live"), cwd=workplace, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        until(lambda: int(str(status_of(name, workplace)["items_done"])) > int(str(before["items_done"])), "the run goes on")
    finally:
        resumed.send_signal(signal.SIGINT)
        _, errors = resumed.communicate(timeout=DEADLINE_SECONDS)
    assert resumed.returncode == 3, errors


def test_an_agent_joins_works_and_is_drained(going: tuple[str, subprocess.Popen[str]], workplace: Path) -> None:
    name, _ = going

    def work_of_late() -> int:
        agents = status_of(name, workplace)["agents"]
        assert isinstance(agents, list)
        return sum(int(agent["jobs_done"]) for agent in agents if agent["agent"] == "late")

    late = subprocess.Popen(
        command("attach", "trainer", "--run", name, "--name", "late"),
        cwd=workplace,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(work_of_late, "the late trainer works")
        refused = seal("drain", "nobody", name, cwd=workplace)
        assert refused.returncode == 2
        assert "nobody" in refused.stderr
        assert seal("drain", "late", name, cwd=workplace).returncode == 0
        assert late.wait(timeout=DEADLINE_SECONDS) == 0
    finally:
        late.kill()
        late.wait()


def test_a_killed_launcher_leaves_no_process_and_the_run_can_be_read(going: tuple[str, subprocess.Popen[str]], workplace: Path) -> None:
    name, process = going
    run = RunDirectory(workplace / "runs" / name)
    controller = Path(f"/proc/{status_of(name, workplace)['controller_pid']}/cmdline")
    assert b"seal_runtime.controller" in controller.read_bytes()
    process.kill()
    process.wait()
    until(lambda: processes_of(run.root) == [], "everything is gone")
    status = status_of(name, workplace)
    assert (status["source"], status["controller_pid"], status["phase"]) == ("ledger", None, "interrupted")
    assert int(str(status["items_done"])) > 0
    with claim(run):  # what a launcher holds whose controller is not up yet
        assert status_of(name, workplace)["phase"] == "starting"


def test_a_policy_is_exported(finished: Answer, workplace: Path) -> None:
    missing = seal("export", "first", "--version", "7", "--out", "out7", cwd=workplace)
    assert missing.returncode == 2
    assert re.search(r"v0, v1\), got v7", missing.stderr)
    base = seal("export", "first", "--version", "0", "--out", "out0", cwd=workplace)
    assert base.returncode == 2
    assert "base model itself" in base.stderr
    exported = seal("export", "first", "--version", "1", "--out", "deep/out1", cwd=workplace)
    assert exported.returncode == 0, exported.stderr
    assert sorted(path.name for path in (workplace / "deep" / "out1").iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert not list((workplace / "deep").glob(".out*"))
    again = seal("export", "first", "--version", "1", "--out", "deep/out1", cwd=workplace)
    assert "expected a new or empty folder" in again.stderr


def test_a_port_in_use_is_named_and_nothing_is_left(workplace: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        result = launched("launch", "tiny.yaml", "--name", "port", "--no-live", "--set", f"bus.bind={endpoint}", cwd=workplace)
    assert result.returncode == 2
    assert f"cannot listen on {endpoint}: the port is in use" in result.stderr
    assert processes_of(workplace / "runs" / "port") == []
