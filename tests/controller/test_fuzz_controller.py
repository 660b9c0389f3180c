"""A controller under a hundred thousand malformed frames: none is answered by a crash, a lease, a record or a file elsewhere.

The frames come over real sockets from a peer with the run's key, and from a registered agent gone mad, mixed with well-formed messages that
claim what is not so. A run stands still meanwhile (its agents hold their jobs), is compared to the last byte, and then ends as ever.
"""

import dataclasses
import os
import random
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import zmq
from hostile_frames import ADAPTER, RESULTS, SHA256, TO_AGENT, TO_CONTROLLER, FrameForge, Parts
from socket_agents import await_connection
from threaded_controller import ThreadedController, chosen, start_agents, status_of, wait_for

import seal_runtime
from protocol.codec import decode, encode
from protocol.messages import (
    BlobChunk,
    BlobGet,
    DrainRequest,
    Goodbye,
    Heartbeat,
    JobDone,
    JobFailed,
    LogLines,
    Message,
    Ready,
    Register,
    StackReport,
    StatusRequest,
    ToAgent,
    ToObserver,
    Welcome,
)
from protocol.security import ConnectionInfo, secure_client
from protocol.status import RunStatus
from seal_runtime.config.loading import dump_topology
from seal_runtime.config.topology import Topology

NUM_FRAMES = 50_000
"""Malformed frames of one test, of two."""
SENSELESS_EVERY = 25
MakeTopology = Callable[..., Topology]

REGISTER = Register(
    role="trainer",
    agent="mad",
    incarnation="mad-1",
    capacity=0,
    hostname="h",
    pid=os.getpid(),
    gpus=(),
    package_version=seal_runtime.__version__,
)


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def peers() -> Iterator[Callable[[ConnectionInfo], Any]]:
    """Return a function that connects a plain DEALER with the run's key."""
    context: zmq.Context[Any] = zmq.Context()

    def connect(info: ConnectionInfo) -> Any:
        socket = context.socket(zmq.DEALER)
        socket.sndtimeo = socket.rcvtimeo = 60_000
        secure_client(socket, info)
        socket.connect(info.endpoint)
        return socket

    yield connect
    context.destroy(linger=0)


@pytest.fixture
def run_dir(tmp_path: Path, make_topology: MakeTopology) -> Callable[[bool], Path]:
    def make(curve: bool) -> Path:
        folder = tmp_path / ("curve" if curve else "plain")
        folder.mkdir()
        bus = {"heartbeat_seconds": 0.2, "agent_timeout_seconds": 600.0, "curve": curve}
        (folder / "topology.resolved.yaml").write_text(dump_topology(make_topology(task={"name": "fictional"}, bus=bus)))
        return folder

    return make


@pytest.fixture
def calm(run_dir: Callable[[bool], Path], tmp_path: Path) -> dict[str, Any]:
    """Return what an undisturbed run chooses."""
    folder = run_dir(False).rename(tmp_path / "calm")
    controller = ThreadedController(folder)
    agents = start_agents(folder)
    assert controller.wait().phase == "done"
    for agent in agents:
        agent.join()
    return chosen(folder)


def stands_still(status: RunStatus) -> bool:
    """Say whether all agents are there and hold what they can."""
    ready = [agent for agent in status.agents if agent.state != "starting"]
    return len(ready) == 5 and all(len(agent.job_ids) == 4 or not status.jobs_waiting[agent.role] for agent in ready)


def senseless(status: RunStatus, rng: random.Random) -> Message:
    """Return a well-formed message that claims what is not so, from a peer whose word it is not."""
    jobs = [job_id for agent in status.agents for job_id in agent.job_ids] + ["../../../etc/passwd", "round-1/credit", "no such job"]
    job_id, attempt = rng.choice(jobs), rng.choice((0, 1, 2, 1_000_001, 2**62))
    sha256 = rng.choice((SHA256, rng.randbytes(32).hex()))
    return rng.choice(
        (
            JobDone(job_id=job_id, attempt=attempt, result=rng.choice(RESULTS), started_at=-1e300, duration_seconds=-1.0),
            JobFailed(job_id=job_id, attempt=attempt, error_type="E", reason="x" * 20_000, retryable=False),
            Heartbeat(state="busy", job_ids=tuple(jobs), step_age_seconds=0.0, gpu_memory_bytes=0, gpu_busy_share=None, frames_dropped=0),
            BlobGet(sha256=sha256, file=rng.choice(("nonce", "ledger.sqlite", "adapter_config.json")), offset=2**62, length=2**62),
            BlobChunk(sha256=sha256, file="adapter_config.json", offset=2**40, file_size=2**41, crc32=rng.choice((0, -1)), data=b"x"),
            BlobChunk(sha256=sha256, file="connection.json", offset=0, file_size=1, crc32=0, data=b"x"),
            DrainRequest(agent="nobody"),
            StatusRequest(),
            dataclasses.replace(REGISTER, package_version="0.0.0-other", agent="trainer-0", incarnation=f"i{rng.random()}"),
        )
    )


def of_a_stranger(status: RunStatus, rng: random.Random) -> Message:
    """Return a message as `senseless`, or one that only an agent may send."""
    only_of_agents = (
        Ready(capacity=9999),
        Goodbye(reason="everybody goes"),
        LogLines(lines=('{"event": "forged", "time": "2026-01-01T00:00:00+00:00"}',), num_dropped=2**62),
        StackReport(step_age_seconds=1e300, stack=("a.py:1 f",)),
    )
    return rng.choice((senseless(status, rng), *only_of_agents))


def picture(run_dir: Path) -> tuple[Any, ...]:
    """Return the run's state: every row of the ledger, the status without its clocks, the files of the run."""
    status = status_of(run_dir)
    agents = tuple(dataclasses.replace(agent, busy_seconds=0.0, last_seen_seconds=0.0) for agent in status.agents)
    clocks: dict[str, Any] = {
        "elapsed_seconds": 0.0,
        "eta_seconds": None,
        "edits_per_hour": None,
        "recent_edits_per_hour": None,
        "roles": (),
    }
    still = dataclasses.replace(status, **clocks, frames_dropped=0, agents=agents)
    with sqlite3.connect(f"file:{run_dir / 'ledger.sqlite'}?mode=ro", uri=True) as database:
        rows = tuple(line for line in database.iterdump() if "active_seconds" not in line)
    database.close()
    files = sorted(
        str(path) for path in run_dir.rglob("*") if ".upload-" not in str(path) and path.suffix not in (".sqlite-wal", ".sqlite-shm")
    )
    return still, rows, files


@contextmanager
def watched_opens(thread_name: str) -> Iterator[list[str]]:
    """Collect the paths that threads of a name open, make, rename or delete."""
    paths: list[str] = []
    events = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.symlink", "os.link"}
    watching = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in events and threading.current_thread().name == thread_name:
            paths.extend(os.fsdecode(argument) for argument in arguments if isinstance(argument, str | bytes | os.PathLike))

    sys.addaudithook(note)  # cannot be taken out again, only put to sleep
    try:
        yield paths
    finally:
        watching = False


def throw(peer: Any, frames: list[Parts], mixed_in: Callable[[], Message]) -> None:
    """Send frames, a senseless message among each so many, reading the answers only now and then."""
    for index, parts in enumerate(frames):
        peer.send_multipart(parts)
        if index % SENSELESS_EVERY == 0:
            peer.send(encode(mixed_in()))
        if index % 1000 == 0:
            answers(peer)


def answers(peer: Any) -> list[Any]:
    """Return what has come, decoded: even now the controller sends nothing but whole messages."""
    found = []
    while peer.poll(0):
        found.append(decode(peer.recv(), ToAgent | ToObserver))
    return found


@pytest.mark.parametrize("curve", [False, True], ids=["plain", "curve"])
def test_malformed_and_senseless_frames_change_nothing(
    run_dir: Callable[[bool], Path], peers: Callable[[ConnectionInfo], Any], calm: dict[str, Any], curve: bool
) -> None:
    folder, gate, rng = run_dir(curve), threading.Event(), random.Random(1)
    controller = ThreadedController(folder)
    agents = start_agents(folder, lambda job: wait_for(gate.is_set, 200.0))
    info = await_connection(folder / "connection.json")
    stranger, mad = peers(info), peers(info)
    mad.send(encode(REGISTER))
    assert isinstance(decode(mad.recv(), ToAgent), Welcome)
    wait_for(lambda: stands_still(status_of(folder)))
    before, status = picture(folder), status_of(folder)
    assert status.frames_dropped == 0

    forge = FrameForge(2 + curve, TO_CONTROLLER, TO_AGENT)
    with watched_opens(controller._thread.name) as opened:
        for _ in range(10):
            throw(stranger, forge.frames(NUM_FRAMES // 20), lambda: of_a_stranger(status, rng))
            throw(mad, forge.frames(NUM_FRAMES // 20), lambda: senseless(status, rng))
        wait_for(lambda: status_of(folder).frames_dropped >= NUM_FRAMES)
    answers(stranger)
    assert status_of(folder).frames_dropped == NUM_FRAMES
    assert picture(folder) == before
    assert [path for path in opened if not Path(path).resolve().is_relative_to(folder)] == []
    assert not (folder / "adapters" / ADAPTER.sha256).exists()

    gate.set()
    assert controller.wait(200.0).phase == "done"
    for agent in agents:
        agent.join()
    assert chosen(folder) == calm
