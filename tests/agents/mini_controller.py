"""A controller of a few lines for tests of agents: real socket and keys, no scheduling; it runs in the test's own thread."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from protocol.errors import TransferError
from protocol.jobs import Job, JobResult, Role
from protocol.messages import (
    Assign,
    BlobChunk,
    BlobError,
    BlobGet,
    FromAgent,
    Goodbye,
    Heartbeat,
    JobAck,
    JobDone,
    JobFailed,
    Pulse,
    Ready,
    Register,
    ToAgent,
    Welcome,
)
from protocol.router import ControllerSocket
from protocol.security import write_connection_file
from protocol.transfer import BlobAssembler, read_chunk
from seal_runtime.config.agents import EvaluatorConfig, ProposerConfig, TrainerConfig
from seal_runtime.config.topology import Topology
from seal_runtime.store.adapters import AdapterStore

ROOT = Path(__file__).resolve().parent.parent.parent
TIMEOUT_SECONDS = 60.0


class MiniController:
    """Answers registrations, heartbeats, results and blob requests while it is pumped."""

    def __init__(self, folder: Path, topology: Topology) -> None:
        self.folder = folder
        self.topology = topology
        self.store = AdapterStore(folder / "adapters")
        self.nonce = os.urandom(8).hex()
        (self.store.root / ".nonce").write_text(self.nonce)
        self.connection_file = folder / "connection.json"
        self.received: list[FromAgent] = []
        self.peers: dict[str, bytes] = {}
        self.acknowledges = True
        self._assemblers: dict[str, BlobAssembler] = {}
        self.listen()

    def listen(self) -> None:
        """Open the endpoint, with fresh keys, and write the connection file."""
        self.socket = ControllerSocket.bind("tcp://127.0.0.1:0", run_id="test-run", curve=True)
        write_connection_file(self.socket.connection, self.connection_file)

    def close(self) -> None:
        """Vanish without a word."""
        self.peers.clear()
        self.socket.close()

    def pump(self, until: Callable[[], bool]) -> None:
        """Serve until the condition holds; fail after a minute."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not until():
            assert time.monotonic() < deadline, f"nothing more came; got {[type(message).__name__ for message in self.received]}"
            for peer, message in self.socket.poll(0.05):
                assert isinstance(message, FromAgent), message
                self.received.append(message)
                self._answer(peer, message)

    def ready(self, agent: str) -> None:
        """Pump until the agent is ready."""
        self.pump(lambda: agent in self.peers and any(isinstance(message, Ready) for message in self.received))

    def send(self, agent: str, message: ToAgent) -> None:
        """Send a message to a registered agent."""
        assert self.socket.send(self.peers[agent], message)

    def assign(self, agent: str, job: Job, attempt: int = 1) -> None:
        """Give an agent a job."""
        self.send(agent, Assign(job_id=job.job_id, attempt=attempt, job=job))

    def answers(self, job_id: str) -> list[JobDone | JobFailed]:
        """Return the answers to a job so far."""
        return [message for message in self.received if isinstance(message, JobDone | JobFailed) and message.job_id == job_id]

    def answer(self, job_id: str) -> JobDone | JobFailed:
        """Pump until the job is answered."""
        self.pump(lambda: bool(self.answers(job_id)))
        return self.answers(job_id)[0]

    def result(self, job_id: str) -> JobResult:
        """Pump until the job is done and return its result."""
        answer = self.answer(job_id)
        assert isinstance(answer, JobDone), answer
        return answer.result

    def goodbye(self) -> str:
        """Pump until an agent says goodbye and return its reason."""
        self.pump(lambda: any(isinstance(message, Goodbye) for message in self.received))
        return next(message.reason for message in self.received if isinstance(message, Goodbye))

    def last_heartbeat(self) -> Heartbeat | None:
        """Return the latest heartbeat."""
        return next((message for message in reversed(self.received) if isinstance(message, Heartbeat)), None)

    def _answer(self, peer: bytes, message: FromAgent) -> None:
        match message:
            case Register():
                self.peers[message.agent or message.role] = peer
                self.socket.send(peer, self._welcome(message))
            case Heartbeat():
                self.socket.send(peer, Pulse(registered=peer in self.peers.values()))
            case JobDone() | JobFailed() if self.acknowledges:
                self.socket.send(peer, JobAck(job_id=message.job_id, attempt=message.attempt))
            case BlobGet() | BlobChunk():
                self._serve_blob(peer, message)
            case _:
                pass

    def _serve_blob(self, peer: bytes, message: BlobGet | BlobChunk) -> None:
        try:
            if isinstance(message, BlobGet):
                path = self.store.path(message.sha256)
                self.socket.send(peer, read_chunk(path, message.sha256, message.file, message.offset, message.length))
                return
            staging = self.store.root / f".upload-{message.sha256}"
            assembler = self._assemblers.setdefault(message.sha256, BlobAssembler(staging, message.sha256))
            ack = assembler.accept(message)
            if ack.complete:
                self.store.publish(staging)
            self.socket.send(peer, ack)
        except TransferError as error:
            self.socket.send(peer, BlobError(sha256=message.sha256, reason=str(error)))

    def _welcome(self, register: Register) -> Welcome:
        return Welcome(
            agent=register.agent or register.role,
            run_id="test-run",
            topology_json=self.topology.model_dump_json(),
            store_dir=str(self.store.root),
            store_nonce=self.nonce,
            heartbeat_seconds=0.2,
        )


class AgentProcess:
    """An agent started by its command line."""

    def __init__(self, role: Role, controller: MiniController, *extra: str, name: str = "") -> None:
        self.log_dir = controller.folder / "agent-logs"
        self.name = name or role
        command = [sys.executable, "-m", "agents", role, "--connection", str(controller.connection_file), "--name", self.name]
        command += ["--log-dir", str(self.log_dir), *extra]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )

    def wait(self) -> tuple[int, str]:
        """Return the exit code and stderr."""
        _, stderr = self.process.communicate(timeout=TIMEOUT_SECONDS)
        return self.process.returncode, stderr

    def wait_while(self, controller: MiniController) -> tuple[int, str]:
        """Pump the controller until the agent has ended; return the exit code and stderr."""
        controller.pump(lambda: self.process.poll() is not None)
        return self.wait()

    def terminate(self) -> None:
        """Ask it to stop."""
        self.process.send_signal(signal.SIGTERM)

    def events(self) -> list[dict[str, object]]:
        """Return its log."""
        return [json.loads(line) for line in (self.log_dir / f"{self.name}.jsonl").read_text().splitlines()]

    def kill(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


StartAgent = Callable[..., AgentProcess]


def fake_topology(**engine_args: str | int | float | bool) -> Topology:
    """Return a topology of fakes; the arguments are those of the generation engines."""
    return Topology(
        proposer=ProposerConfig(engine="fake", engine_args=engine_args),
        trainer=TrainerConfig(engine="fake", max_concurrent_adapters=2),
        evaluator=EvaluatorConfig(engine="fake", engine_args=engine_args),
    )
