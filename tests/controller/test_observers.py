"""What observers ask of a controller over real sockets: to scale a role; and what a controller does for a run that is done already."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from socket_agents import await_connection, write_adapter
from threaded_controller import ThreadedController, start_agents, status_of, wait_for

import seal_runtime
from protocol.channel import AgentChannel
from protocol.messages import Done, Reject, ScaleRequest, ToObserver, Welcome
from protocol.observer import ObserverClient
from protocol.status import WantedAgents
from seal_runtime.config.loading import dump_topology
from seal_runtime.config.topology import Topology
from seal_runtime.errors import LedgerError
from seal_runtime.ledger import Ledger, LedgerReader
from seal_runtime.ledger.wanted import WANTED_KEY, wanted_meta, wanted_of
from seal_runtime.store.leftovers import STAGING_PREFIX
from seal_runtime.store.run_directory import RunDirectory

MakeTopology = Callable[..., Topology]
STAGING_NAME = "from seal_runtime.store.leftovers import staging_name; print(staging_name('x'))"


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def run(tmp_path: Path, make_topology: MakeTopology) -> RunDirectory:
    folder = tmp_path / "toy"
    folder.mkdir()
    topology = make_topology(task={"name": "fictional"}, bus={"heartbeat_seconds": 0.2}, trainer={"gpus": (4, 6)})
    (folder / "topology.resolved.yaml").write_text(dump_topology(topology))
    return RunDirectory(folder)


def ask(run: RunDirectory, role: str, count: int) -> ToObserver:
    with ObserverClient(await_connection(run.connection)) as observer:
        return observer.request(ScaleRequest(role=role, count=count), 30.0)  # type: ignore[arg-type]


def wanted(run: RunDirectory) -> dict[str, tuple[int, int]]:
    return {entry.role: (entry.count, entry.request) for entry in status_of(run.root).wanted}


def test_a_wanted_count_is_shown_committed_and_kept_by_the_next_controller(run: RunDirectory) -> None:
    controller = ThreadedController(run.root)
    before = wanted(run)["evaluator"]
    assert before == (before[0], 0)
    assert isinstance(ask(run, "evaluator", 7), Done)
    assert isinstance(ask(run, "evaluator", 7), Done)
    assert wanted(run)["evaluator"] == (7, 2), "the same number again is another request"
    controller.stop_reason = "test over"
    assert controller.wait().phase == "stopped"
    with LedgerReader(run.ledger) as reader:
        assert reader.meta()[WANTED_KEY] == '{"evaluator": [7, 2]}'
    again = ThreadedController(run.root)
    assert (wanted(run)["evaluator"], wanted(run)["trainer"][1]) == ((7, 2), 0)
    again.stop_reason = "test over"
    again.wait()


def test_impossible_counts_are_refused_and_change_nothing(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = ThreadedController(run.root)
    before = wanted(run)
    for role, count, expected in (("trainer", 3, "so 2 fit"), ("critic", 5000, "0 to 4096")):
        refused = ask(run, role, count)
        assert isinstance(refused, Reject)
        assert expected in refused.reason

    def full(*arguments: object, **named: object) -> None:
        raise LedgerError("the ledger refused a commit: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "commit", full)
        refused = ask(run, "critic", 2)
    assert isinstance(refused, Reject)
    assert "disk is full" in refused.reason
    assert wanted(run) == before
    controller.stop_reason = "test over"
    controller.wait()


def test_a_name_that_the_launcher_may_give_is_not_given_to_a_stranger(run: RunDirectory) -> None:
    controller = ThreadedController(run.root)
    info = await_connection(run.connection)
    assert isinstance(ask(run, "evaluator", 3), Done)
    channel = AgentChannel.connect(info, role="evaluator", agent="", capacity=1, gpus=(), package_version=seal_runtime.__version__)
    welcome = channel.receive(30.0)
    assert isinstance(welcome, Welcome)
    assert welcome.agent == "evaluator-3"
    controller.stop_reason = "test over"
    channel.close("bye", 0.5)
    controller.wait()


def test_a_run_that_is_done_stays_as_it_is(run: RunDirectory) -> None:
    left_behind = run.root / "adapters" / ".upload-half"
    left_behind.mkdir(parents=True)
    private = run.root / ".connection.json.0123"
    private.touch()
    name = subprocess.run([sys.executable, "-c", STAGING_NAME], capture_output=True, text=True, check=True).stdout.strip()
    of_a_dead_agent = run.adapters / name
    of_a_dead_agent.mkdir()
    controller = ThreadedController(run.root)
    agents = start_agents(run.root)
    wait_for(lambda: not private.exists() and not of_a_dead_agent.exists())
    assert controller.wait().phase == "done"
    for agent in agents:
        agent.join()
    assert not left_behind.exists()
    with LedgerReader(run.ledger) as reader:
        before = reader.meta()
    late = run.adapters / ("e" * 64)
    write_adapter(late, "late", 8)
    mine = run.adapters / f"{STAGING_PREFIX}{'0' * 12}-1-1-x"
    mine.mkdir()
    again = ThreadedController(run.root).wait()
    assert (again.phase, again.reason) == ("done", before["reason"])
    with LedgerReader(run.ledger) as reader:
        assert reader.meta() == before, "neither finished_at nor the epoch moves"
    assert not late.exists()
    assert mine.exists(), "it may be somebody's"


def test_a_fact_of_another_release_is_a_ledger_error() -> None:
    counts = dict.fromkeys(("proposer", "trainer", "evaluator", "critic"), 1)
    entry = WantedAgents(role="trainer", count=4, request=9)
    assert wanted_of(wanted_meta([entry]), counts)["trainer"] == entry  # type: ignore[arg-type]
    for text in ("{", "[]", '{"trainer": 3}', '{"trainer": ["x", 1]}'):
        with pytest.raises(LedgerError, match=WANTED_KEY):
            wanted_of({WANTED_KEY: text}, counts)  # type: ignore[arg-type]


def test_the_key_file_outlives_the_connection_file(run: RunDirectory) -> None:
    controller = ThreadedController(run.root)
    first = await_connection(run.connection)
    controller.stop_reason = "test over"
    controller.wait()
    assert not run.connection.exists()
    assert os.stat(run.keys).st_mode & 0o777 == 0o600
    again = ThreadedController(run.root)
    second = await_connection(run.connection)
    again.stop_reason = "test over"
    again.wait()
    assert (first.endpoint, first.server_public_key, first.client_secret_key) == (
        second.endpoint,
        second.server_public_key,
        second.client_secret_key,
    )
