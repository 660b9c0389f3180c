"""Many agents without models in one process and one thread, each a DEALER socket and an `AgentLink` of its own: `python -m` this.

They keep the protocol as real agents do (registration, heartbeats, results until acknowledged). Once all are welcome the file `--joined`
appears, and they begin when the file `--go` does. What they saw of the controller's speed goes into the file `--out`, times in seconds on
this machine's monotonic clock.
"""

import argparse
import heapq
import json
import os
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import zmq

import seal_runtime
from protocol.codec import decode_to_agent, encode
from protocol.errors import ChannelError
from protocol.jobs import Role
from protocol.link import AgentLink
from protocol.messages import Assign, Heartbeat, JobAck, JobDone, Ready, Register, Reject, Shutdown, ToAgent, Welcome
from protocol.security import ConnectionInfo, read_connection_file, secure_client
from protocol.sockets import BusContext, BusSocket, connect, new_socket, receive_frame
from protocol.status import AgentState
from seal_runtime.bench.controller_load import answer
from seal_runtime.config.topology import Topology
from seal_runtime.store.adapters import AdapterStore

SWEEP_SECONDS = 0.05
SILENCE_SECONDS = 120.0
"""After so long without a word the controller is taken for dead."""


@dataclass(slots=True, kw_only=True)
class Observations:
    """What the agents of one process saw: when each result was acknowledged, how long that took, how long until the next job came."""

    first_assign_at: float = 0.0
    acknowledged_at: list[float] = field(default_factory=list)
    ack_seconds: list[float] = field(default_factory=list)
    dispatch_seconds: list[float] = field(default_factory=list)


class SimulatedAgent:
    """One agent: its socket, what it owes and what it holds."""

    def __init__(self, socket: BusSocket, role: Role, name: str, capacity: int, now: float) -> None:
        self.socket = socket
        self.is_gone = False
        self.due_at = 0.0
        self._capacity = capacity
        self._held: dict[str, int] = {}
        self._sent_at: dict[tuple[str, int], float] = {}
        self._free_since: deque[float] = deque()
        register = Register(
            role=role,
            agent=name,
            incarnation=os.urandom(16).hex(),
            capacity=capacity,
            hostname="bench",
            pid=os.getpid(),
            gpus=(),
            package_version=seal_runtime.__version__,
        )
        self._link = AgentLink(register, controller_timeout_seconds=SILENCE_SECONDS, heartbeat=self._heartbeat, now=now)
        self._link.connected(now)

    def receive(self, message: ToAgent, now: float, seen: Observations) -> Assign | Welcome | None:
        """Take a message; return a job to do, or the Welcome. Raises ChannelError when the controller refuses this agent."""
        match self._link.receive(message, now):
            case Welcome() as welcome:
                return welcome
            case Assign() as assign:
                self._held[assign.job_id] = assign.attempt
                seen.first_assign_at = seen.first_assign_at or now
                if self._free_since:
                    seen.dispatch_seconds.append(now - self._free_since.popleft())
                return assign
            case JobAck() as ack:
                sent_at = self._sent_at.pop((ack.job_id, ack.attempt), None)
                if sent_at is not None:
                    seen.acknowledged_at.append(now)
                    seen.ack_seconds.append(now - sent_at)
            case Shutdown():
                self._link.say_goodbye("the benchmark is over")
                self.is_gone = True
            case Reject(reason=reason):
                raise ChannelError(f"the controller refused an agent of the benchmark: {reason}")
            case _:
                pass
        return None

    def begin(self, now: float) -> None:
        """Say that jobs may come."""
        ready = Ready(capacity=self._capacity)
        self._link.submit(ready, encode(ready), now)

    def finish(self, done: JobDone, now: float) -> None:
        """Send a result."""
        self._held.pop(done.job_id, None)
        self._sent_at[done.job_id, done.attempt] = now
        self._free_since.append(now)
        self._link.submit(done, encode(done), now)

    def pump(self, now: float) -> None:
        """Send what is due."""
        while (frame := self._link.next_frame(now)) is not None:
            self.socket.send(frame)
        self.due_at = now + self._link.next_due(now)

    def _heartbeat(self, now: float, frames_dropped: int) -> Heartbeat:
        state: AgentState = "busy" if self._held else "idle"
        return Heartbeat(
            state=state,
            job_ids=tuple(self._held),
            step_age_seconds=0.0,
            gpu_memory_bytes=0,
            gpu_busy_share=None,
            frames_dropped=frames_dropped,
        )


class AgentsProcess:
    """Lets many simulated agents live until the controller sends them away."""

    def __init__(
        self, info: ConnectionInfo, agents: list[tuple[Role, str]], *, capacity: int, job_seconds: float, joined: Path, go: Path
    ) -> None:
        self.seen = Observations()
        self._joined = joined
        self._go = go
        self._num_to_welcome = len(agents)
        self._has_begun = False
        self._job_seconds = job_seconds
        self._context = BusContext()
        self._context.set(zmq.MAX_SOCKETS, len(agents) + 16)
        self._poller = zmq.Poller()
        self._agents: dict[BusSocket, SimulatedAgent] = {}
        self._working: list[tuple[float, int, SimulatedAgent, Assign]] = []
        self._num_jobs = 0
        self._topology: Topology | None = None
        self._store: AdapterStore | None = None
        for role, name in agents:
            socket = new_socket(self._context, zmq.DEALER)
            secure_client(socket, info)
            connect(socket, info.endpoint)
            self._poller.register(socket, zmq.POLLIN)
            self._agents[socket] = SimulatedAgent(socket, role, name, capacity, time.monotonic())

    def run(self) -> None:
        """Serve to the end of the run. Raises ChannelError when the controller falls silent."""
        last_heard = time.monotonic()
        sweep_at = 0.0
        while self._agents:
            now = time.monotonic()
            if now >= sweep_at:
                sweep_at = now + SWEEP_SECONDS
                self._sweep(now)
            ready = self._poller.poll(self._wait_milliseconds(sweep_at))
            if ready:
                last_heard = time.monotonic()
            elif now - last_heard > SILENCE_SECONDS:
                raise ChannelError(f"the controller said nothing for {SILENCE_SECONDS:.0f} s; see its log in the run directory")
            for socket, _ in ready:
                self._receive(self._agents[socket])
            self._finish_due()
        self._context.destroy(linger=1000)

    def _sweep(self, now: float) -> None:
        begins = not self._has_begun and not self._num_to_welcome and self._go.exists()
        self._has_begun = self._has_begun or begins
        for agent in list(self._agents.values()):
            if begins:
                agent.begin(now)
            if begins or now >= agent.due_at:
                self._pump(agent, now)

    def _wait_milliseconds(self, sweep_at: float) -> int:
        until = min(sweep_at, self._working[0][0]) if self._working else sweep_at
        return max(0, int((until - time.monotonic()) * 1000))

    def _receive(self, agent: SimulatedAgent) -> None:
        while (parts := receive_frame(agent.socket)) is not None:
            now = time.monotonic()
            match agent.receive(decode_to_agent(parts[0]), now, self.seen):
                case Welcome() as welcome:
                    self._topology = self._topology or Topology.model_validate_json(welcome.topology_json)
                    self._store = self._store or AdapterStore(Path(welcome.store_dir))
                    self._num_to_welcome -= 1
                    if not self._num_to_welcome:
                        self._joined.touch()
                case Assign() as assign:
                    self._num_jobs += 1
                    heapq.heappush(self._working, (now + self._job_seconds, self._num_jobs, agent, assign))
                case None:
                    pass
        self._pump(agent, time.monotonic())

    def _finish_due(self) -> None:
        started = time.monotonic()
        while self._working and self._working[0][0] <= started:
            _, _, agent, assign = heapq.heappop(self._working)
            assert self._topology is not None, "a Welcome comes before any job"
            assert self._store is not None, "a Welcome comes before any job"
            begun = time.time()
            result = answer(assign.job, self._topology, self._store)
            done = JobDone(
                job_id=assign.job_id, attempt=assign.attempt, result=result, started_at=begun, duration_seconds=self._job_seconds
            )
            agent.finish(done, time.monotonic())
            self._pump(agent, time.monotonic())

    def _pump(self, agent: SimulatedAgent, now: float) -> None:
        agent.pump(now)
        if agent.is_gone:
            self._poller.unregister(agent.socket)
            self._agents.pop(agent.socket, None)
            agent.socket.close(linger=1000)


def main() -> int:
    """Run the agents that standard input lists as JSON pairs of role and name."""
    parser = argparse.ArgumentParser(prog="python -m seal_runtime.bench.controller_agents", description="Simulated agents.")
    parser.add_argument("--connection", type=Path, required=True)
    parser.add_argument("--capacity", type=int, required=True)
    parser.add_argument("--job-seconds", type=float, required=True)
    for name in ("--joined", "--go", "--out"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args()
    agents = [(cast(Role, role), str(name)) for role, name in json.load(sys.stdin)]
    try:
        process = AgentsProcess(
            read_connection_file(options.connection),
            agents,
            capacity=options.capacity,
            job_seconds=options.job_seconds,
            joined=options.joined,
            go=options.go,
        )
        process.run()
    except ChannelError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    options.out.write_text(json.dumps(asdict(process.seen)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
