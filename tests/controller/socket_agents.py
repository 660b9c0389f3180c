"""Agents for the tests of the service: real channels, each in a thread, that do jobs as pure functions and write real adapter files."""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toy_task import do_job

import seal_runtime
from protocol.channel import AgentChannel
from protocol.errors import ChannelError
from protocol.jobs import AdaptJob, EvaluateJob, EvaluateResult, Job, JobResult, Receipt, Role
from protocol.messages import Assign, Drain, JobDone, Ready, Reject, Shutdown, Welcome
from protocol.security import ConnectionInfo, read_connection_file
from seal_runtime.config.topology import Topology
from seal_runtime.store.adapters import CONFIG_FILE, TENSOR_FILE, AdapterStore, adapter_sha256

ALL_ROLES: tuple[tuple[Role, str], ...] = (
    ("proposer", "proposer-0"),
    ("trainer", "trainer-0"),
    ("trainer", "trainer-1"),
    ("evaluator", "evaluator-0"),
    ("critic", "critic-0"),
)


def write_adapter(folder: Path, name: str, rank: int) -> None:
    """Write two files that pass for a PEFT adapter."""
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text(json.dumps({"r": rank}))
    (folder / TENSOR_FILE).write_bytes(hashlib.sha256(name.encode()).digest())


def await_connection(path: Path, timeout_seconds: float = 60.0) -> ConnectionInfo:
    """Wait for a controller's connection file."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return read_connection_file(path)
        except ChannelError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


class SocketAgent:
    """One agent in a thread; `before` runs before each job is answered and may wait or raise."""

    def __init__(self, run_dir: Path, role: Role, name: str, before: Callable[[Job], None] = lambda job: None) -> None:
        self.role = role
        self.name = name
        self.jobs_done = 0
        self.end = ""
        self._run_dir = run_dir
        self._before = before
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the agent with a goodbye."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def join(self, timeout_seconds: float = 60.0) -> None:
        """Wait until the controller has sent the agent away."""
        self._thread.join(timeout_seconds)
        assert not self._thread.is_alive(), f"{self.name} is still there"

    def _live(self) -> None:
        path = self._run_dir / "connection.json"
        channel = AgentChannel.connect(
            await_connection(path),
            role=self.role,
            agent=self.name,
            capacity=4,
            gpus=(),
            package_version=seal_runtime.__version__,
            controller_timeout_seconds=1.0,
            refresh=lambda: await_connection(path, 0.0) if path.exists() else None,
        )
        topology: Any = None
        while not self._stop.is_set() and not self.end:
            match channel.receive(0.05):
                case Welcome() as welcome:
                    topology = Topology.model_validate_json(welcome.topology_json)
                    self._store = AdapterStore(Path(welcome.store_dir))
                    self.name = welcome.agent
                    channel.send(Ready(capacity=4))
                    channel.set_state("idle", ())
                case Assign() as assign:
                    self._before(assign.job)
                    result = self._do(assign.job, topology)
                    self.jobs_done += 1
                    channel.send(
                        JobDone(job_id=assign.job_id, attempt=assign.attempt, result=result, started_at=time.time(), duration_seconds=0.01)
                    )
                case Reject(reason=reason) | Shutdown(reason=reason) | Drain(reason=reason):
                    self.end = reason
            channel.touch()
        channel.close("stopped", 2.0)

    def _do(self, job: Job, topology: Topology) -> JobResult:
        result = do_job(job, topology)
        if isinstance(job, AdaptJob):
            staging = self._store.staging_dir()
            write_adapter(staging, repr((job.policy, job.sequences, job.lora, job.optim, job.seed)), job.lora.rank)
            object.__setattr__(result, "adapter", self._store.publish(staging))
        if isinstance(job, EvaluateJob) and isinstance(result, EvaluateResult) and job.adapter is not None:
            loaded = adapter_sha256(self._store.path(job.adapter.sha256))
            object.__setattr__(
                result,
                "receipt",
                Receipt(adapter_sha256=loaded, policy_version=job.policy.version, policy_sha256s=job.policy.sha256s, probe_delta=0.5),
            )
        return result
