"""The controller over real sockets: a run to its end, stops, deaths, refusals, and what it leaves on disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from socket_agents import SocketAgent, await_connection, write_adapter
from threaded_controller import ThreadedController, chosen, start_agents, status_of, wait_for

import seal_runtime
from protocol.channel import AgentChannel
from protocol.messages import Done, DrainRequest, Reject, StatusReply, StatusRequest, StopRequest, Welcome
from protocol.observer import ObserverClient
from protocol.transfer_drivers import AdapterDownload, AdapterUpload
from seal_runtime.config.loading import dump_topology
from seal_runtime.config.topology import Topology
from seal_runtime.errors import LedgerError
from seal_runtime.ledger import Ledger, LedgerReader
from seal_runtime.store.adapters import AdapterStore, adapter_sha256
from seal_runtime.store.run_directory import RunDirectory

MakeTopology = Callable[..., Topology]


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def run_dir(tmp_path: Path, make_topology: MakeTopology) -> Path:
    """Return a run directory with a resolved topology."""
    folder = tmp_path / "toy"
    folder.mkdir()
    topology = make_topology(task={"name": "fictional"}, bus={"heartbeat_seconds": 0.2})
    (folder / "topology.resolved.yaml").write_text(dump_topology(topology))
    return folder


@pytest.fixture(scope="module")
def calm_run(tmp_path_factory: pytest.TempPathFactory, make_topology: MakeTopology) -> Path:
    """Return the directory of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("calm") / "toy"
    folder.mkdir()
    topology = make_topology(task={"name": "fictional"}, bus={"heartbeat_seconds": 0.2})
    (folder / "topology.resolved.yaml").write_text(dump_topology(topology))
    controller = ThreadedController(folder)
    agents = start_agents(folder)
    assert controller.wait().phase == "done"
    for agent in agents:
        agent.join()
        assert "the run is over (done" in agent.end
    return folder


def test_a_run_leaves_ledger_policies_metrics_and_no_inner_adapters(calm_run: Path) -> None:
    run = RunDirectory(calm_run)
    with LedgerReader(run.ledger) as reader:
        assert reader.meta()["phase"] == "done"
        assert float(reader.meta()["active_seconds"]) > 0
        counts, policies = reader.counts(), reader.policies()
        assert [agent.left_at is not None or agent.agent for agent in reader.agents()]
    assert counts["round-1", "propose"] == 4
    assert (counts["round-2", "credit"], counts["round-2", "policy"]) == (1, 1)
    assert [policy.version for policy in policies] == [0, 1, 2]
    names = {folder.name for folder in run.adapters.iterdir()}
    assert names == {".nonce", policies[1].adapter_sha256, policies[2].adapter_sha256}
    for policy in policies:
        version = json.loads((run.policy(policy.version) / "version.json").read_text())
        assert version["chain"] == [p.adapter_sha256 for p in policies[1 : policy.version + 1]]
        if policy.version:
            assert adapter_sha256(run.policy(policy.version)) == policy.adapter_sha256
    studies = [json.loads(line)["study"] for line in run.metrics.read_text().splitlines()]
    assert len(studies) == len(set(studies)) == 11
    assert not run.connection.exists()
    events = [json.loads(line)["event"] for line in run.log("controller").read_text().splitlines()]
    assert {"controller_started", "agent_joined", "study_opened", "edit_graded", "round_credited", "policy_updated", "run_ended"} <= set(
        events
    )


def test_a_controller_of_a_run_that_is_done_tidies_up_after_the_one_that_was_killed_at_its_end(calm_run: Path, tmp_path: Path) -> None:
    run = RunDirectory(Path(shutil.copytree(calm_run, tmp_path / "done")))
    run.connection.write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "seal_runtime.controller", "--run-dir", str(run.root)],
        cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert not run.connection.exists()


def test_observers_see_progress_and_the_end(run_dir: Path) -> None:
    gate = threading.Event()
    controller = ThreadedController(run_dir)
    assert status_of(run_dir).phase == "starting"
    agents = start_agents(run_dir, lambda job: wait_for(gate.is_set))
    wait_for(lambda: any(agent.job_ids for agent in status_of(run_dir).agents))
    with ObserverClient(await_connection(run_dir / "connection.json")) as observer:
        gate.set()
        phases = []
        while phases[-1:] != ["done"]:
            reply = observer.request(StatusRequest(), 30.0)
            assert isinstance(reply, StatusReply)
            phases.append(reply.status.phase)
    assert controller.wait().phase == "done"
    assert reply.status.items_done == reply.status.items_total
    for agent in agents:
        agent.join()


def test_a_stopped_run_goes_on_where_it_was_and_chooses_the_same_edits(run_dir: Path, calm_run: Path) -> None:
    controller = ThreadedController(run_dir)
    agents = start_agents(run_dir)
    wait_for(lambda: sum(agent.jobs_done for agent in agents) > 30)
    with ObserverClient(await_connection(run_dir / "connection.json")) as observer:
        assert isinstance(observer.request(StopRequest(reason="enough"), 30.0), Done)
    assert controller.wait().phase == "stopped"
    for agent in agents:
        agent.join()
    with LedgerReader(run_dir / "ledger.sqlite") as reader:
        before = {row.job_id: (row.seq, row.attempt) for row in reader.results()}
        assert (reader.meta()["phase"], reader.meta()["reason"]) == ("stopped", "enough")
    assert len(before) < 100
    again = ThreadedController(run_dir)
    agents = start_agents(run_dir)
    assert again.wait().phase == "done"
    for agent in agents:
        agent.join()
    with LedgerReader(run_dir / "ledger.sqlite") as reader:
        after = {row.job_id: (row.seq, row.attempt) for row in reader.results()}
        assert reader.meta()["epoch"] == "1"
    assert before.items() <= after.items(), "what was committed is not done again"
    assert chosen(run_dir) == chosen(calm_run)


def test_sigkill_of_the_controller_loses_nothing_and_its_agents_come_back(run_dir: Path, calm_run: Path) -> None:
    command = [sys.executable, "-m", "seal_runtime.controller", "--run-dir", str(run_dir)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    agents = start_agents(run_dir)
    try:
        wait_for(lambda: sum(agent.jobs_done for agent in agents) > 20, 100.0)
    finally:
        process.kill()
        process.wait(30)
    (run_dir / "connection.json").unlink()  # the launcher would start the next one, which writes it anew
    controller = ThreadedController(run_dir)
    assert controller.wait().phase == "done"
    for agent in agents:
        agent.join()
    assert chosen(run_dir) == chosen(calm_run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_with_its_exit_code(run_dir: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "seal_runtime.controller", "--run-dir", str(run_dir)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        await_connection(run_dir / "connection.json")
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 2
        assert "another controller" in second.stderr
        process.send_signal(number)
        assert process.wait(30) == 3
    finally:
        process.kill()
        process.wait(30)
    assert not (run_dir / "connection.json").exists()
    with LedgerReader(run_dir / "ledger.sqlite") as reader:
        assert number.name in reader.meta()["reason"]


def test_strangers_and_impossible_requests_are_refused_with_a_reason(run_dir: Path) -> None:
    controller = ThreadedController(run_dir)
    info = await_connection(run_dir / "connection.json")
    gate = threading.Event()
    trainer = SocketAgent(run_dir, "trainer", "trainer-0", lambda job: wait_for(gate.is_set))
    wait_for(lambda: [agent.state for agent in status_of(run_dir).agents] == ["busy"])

    def connect(name: str, version: str = seal_runtime.__version__) -> AgentChannel:
        return AgentChannel.connect(info, role="trainer", agent=name, capacity=1, gpus=(), package_version=version)

    old = connect("trainer-9", "0.0.0-other")
    answer = old.receive(30.0)
    assert isinstance(answer, Reject)
    assert "0.0.0-other" in answer.reason
    nameless, reserved = connect(""), connect("controller")
    names = []
    for channel in (nameless, reserved):
        welcome = channel.receive(30.0)
        assert isinstance(welcome, Welcome)
        names.append(welcome.agent)
    assert set(names) == {"trainer-1", "trainer-2"}
    taker = connect("trainer-0")
    assert isinstance(taker.receive(30.0), Welcome)
    gate.set()
    trainer.join()
    assert "another process has registered as trainer-0" in trainer.end
    with ObserverClient(info) as observer:
        refusal = observer.request(DrainRequest(agent="trainer_0"), 30.0)
        assert isinstance(refusal, Reject)
        assert "did you mean trainer-0?" in refusal.reason
        assert isinstance(observer.request(DrainRequest(agent="trainer-0"), 30.0), Done)
    wait_for(lambda: "draining" in {agent.state for agent in status_of(run_dir).agents})
    controller.stop_reason = "test over"
    for channel in (old, nameless, reserved, taker):
        channel.close("bye", 0.5)
    assert controller.wait().phase == "stopped"


def test_adapters_travel_in_chunks_to_and_from_an_agent_with_a_store_of_its_own(run_dir: Path, tmp_path: Path) -> None:
    controller = ThreadedController(run_dir)
    info = await_connection(run_dir / "connection.json")
    channel = AgentChannel.connect(info, role="trainer", agent="far", capacity=1, gpus=(), package_version=seal_runtime.__version__)
    assert isinstance(channel.receive(30.0), Welcome)
    folder = tmp_path / "mine"
    write_adapter(folder, "mine", 8)
    sha256 = adapter_sha256(folder)

    def drive(transfer: Any) -> None:
        deadline = time.monotonic() + 60
        while not transfer.done and not transfer.failure:
            assert time.monotonic() < deadline
            request = transfer.next_request(time.monotonic())
            if request is not None:
                channel.send(request)
            message: Any = channel.receive(0.1)
            if message is not None and hasattr(message, "sha256"):
                transfer.feed(message)

    upload = AdapterUpload(folder, sha256, chunk_bytes=7)
    drive(upload)
    assert upload.failure == ""
    assert AdapterStore(run_dir / "adapters").has(sha256)
    twice = AdapterUpload(folder, sha256)
    drive(twice)
    assert twice.done
    download = AdapterDownload(tmp_path / "theirs", sha256, chunk_bytes=11)
    drive(download)
    assert adapter_sha256(tmp_path / "theirs") == sha256
    missing = AdapterDownload(tmp_path / "missing", "0" * 64)
    drive(missing)
    assert "expected a PEFT adapter" in missing.failure
    lying = AdapterUpload(folder, "1" * 64)
    drive(lying)
    assert "SHA-256" in lying.failure
    assert sorted(path.name for path in (run_dir / "adapters").iterdir() if path.name != ".nonce") == [sha256]
    channel.close("bye", 0.5)
    controller.stop_reason = "test over"
    assert controller.wait().phase == "stopped"


def test_a_full_disk_fails_the_run_and_it_can_be_resumed(run_dir: Path, calm_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Ledger.commit
    num_commits = 0

    def commit(self: Ledger, *arguments: Any, **named: Any) -> None:
        nonlocal num_commits
        num_commits += 1
        if num_commits > 12:
            raise LedgerError("the ledger refused a commit: database or disk is full; nothing of it was written")
        honest(self, *arguments, **named)

    monkeypatch.setattr(Ledger, "commit", commit)
    controller = ThreadedController(run_dir)
    agents = start_agents(run_dir)
    finish = controller.wait()
    for agent in agents:
        agent.join()
    assert finish.phase == "failed"
    assert "disk is full" in finish.reason
    monkeypatch.undo()
    again = ThreadedController(run_dir)
    agents = start_agents(run_dir)
    assert again.wait().phase == "done"
    for agent in agents:
        agent.join()
    assert chosen(run_dir) == chosen(calm_run)
