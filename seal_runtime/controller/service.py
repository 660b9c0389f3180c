"""The controller's shell: one thread that turns messages and time into events and lets the executor act on the commands.

Loop: poll the socket, feed the state machine, commit, send. Not here: what an event means (`state`) and how it is kept (`executor`).
"""

import dataclasses
import difflib
import time
from collections.abc import Callable

import structlog

import seal_runtime
from protocol.jobs import AdaptResult
from protocol.messages import (
    BlobChunk,
    BlobGet,
    Done,
    DrainRequest,
    Goodbye,
    Heartbeat,
    JobAck,
    JobDone,
    JobFailed,
    Pulse,
    Ready,
    Register,
    Reject,
    Shutdown,
    StatusReply,
    StatusRequest,
    StopRequest,
    ToAgent,
    ToController,
    ToObserver,
    Welcome,
)
from protocol.router import ControllerSocket
from seal_runtime.config.topology import Topology
from seal_runtime.controller.blobs import BlobServer
from seal_runtime.controller.commands import Command, Finish
from seal_runtime.controller.events import (
    AgentBeat,
    AgentLeft,
    AgentReady,
    AgentRegistered,
    DrainRequested,
    Event,
    JobFailedEvent,
    JobSucceeded,
    StopRequested,
    StorageFailed,
    Tick,
)
from seal_runtime.controller.executor import Executor
from seal_runtime.controller.peers import PeerTable
from seal_runtime.controller.state import RunState
from seal_runtime.errors import LedgerError, StoreError
from seal_runtime.ledger import Ledger
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.store.run_directory import RunDirectory

log = structlog.get_logger()

POLL_SECONDS = 0.1
TICK_SECONDS = 0.25
LINGER_SECONDS = 2.0
"""How long the end of a run is told to observers and agents before the socket closes, at most."""
OBSERVER_MEMORY_SECONDS = 3.0


class ControllerService:
    """Serves one run until it ends. `commands` are those of `state.begin`."""

    def __init__(
        self,
        *,
        topology: Topology,
        run: RunDirectory,
        state: RunState,
        ledger: Ledger,
        store: AdapterStore,
        store_nonce: str,
        socket: ControllerSocket,
    ) -> None:
        self._topology = topology
        self._topology_json = topology.model_dump_json()
        self._run = run
        self._state = state
        self._store = store
        self._store_nonce = store_nonce
        self._socket = socket
        self._peers = PeerTable(topology, state.agents)
        self._blobs = BlobServer(store)
        self._executor = Executor(
            ledger=ledger,
            run=run,
            store=store,
            send=self._send_to_agent,
            active_seconds=lambda: state.active_seconds(time.monotonic()),
        )
        self._commands: list[Command] = []
        self._observers: dict[bytes, float] = {}
        self._informed: set[bytes] = set()
        self._next_tick = 0.0

    def serve(self, commands: list[Command], stop_reason: Callable[[], str | None]) -> Finish:
        """Run to the end; `stop_reason` is asked every round of the loop and ends the run when it returns one."""
        self._commands += commands
        self._flush()
        while self._state.finish is None:
            self._turn(stop_reason())
        self._linger()
        self._blobs.close()
        return self._state.finish

    def _turn(self, stop_reason: str | None) -> None:
        for peer_id, message in self._socket.poll(POLL_SECONDS):
            self._receive(peer_id, message)
        now = time.monotonic()
        if now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            self._feed(Tick())
        if stop_reason is not None:
            self._feed(StopRequested(reason=stop_reason))
        self._flush()

    def _feed(self, event: Event) -> None:
        self._commands += self._state.handle(event, time.monotonic())

    def _flush(self) -> None:
        """Carry out what has gathered. When it cannot be committed, the run fails and nothing of the batch is sent."""
        while self._commands:
            commands, self._commands = self._commands, []
            try:
                failures = self._executor.execute(commands)
            except (LedgerError, StoreError) as error:
                log.error("storage_failed", reason=str(error))
                already_over = self._state.finish is not None
                self._commands = self._state.handle(StorageFailed(reason=str(error)), time.monotonic())
                if already_over:
                    return
                continue
            for failure in failures:
                self._feed(failure)

    def _receive(self, peer_id: bytes, message: ToController) -> None:
        match message:
            case Heartbeat():
                self._heartbeat(peer_id, message)
            case JobDone() | JobFailed():
                self._answered(peer_id, message)
            case Register():
                self._register(peer_id, message)
            case Ready():
                self._feed_from(peer_id, lambda agent: AgentReady(agent=agent, capacity=message.capacity))
            case Goodbye():
                self._feed_from(peer_id, lambda agent: AgentLeft(agent=agent, reason=message.reason, died=False))
                self._peers.unbind(peer_id)
            case BlobGet():
                self._send(peer_id, self._blobs.get(message))
            case BlobChunk():
                self._send(peer_id, self._blobs.put(message))
            case StatusRequest():
                self._answer_status(peer_id)
            case StopRequest():
                self._feed(StopRequested(reason=message.reason))
                self._send(peer_id, Done())
            case DrainRequest():
                self._drain(peer_id, message)

    def _feed_from(self, peer_id: bytes, event: Callable[[str], Event]) -> None:
        """Feed an event of the agent that speaks on a connection; strangers are not heard."""
        agent = self._peers.agent_of(peer_id)
        if agent is not None:
            self._feed(event(agent))

    def _register(self, peer_id: bytes, message: Register) -> None:
        refusal = self._why_refused(message)
        if refusal is not None:
            self._send(peer_id, Reject(reason=refusal))
            return
        name = self._peers.name_for(message)
        self._peers.bind(peer_id, name, message.incarnation)
        self._feed(
            AgentRegistered(
                agent=name,
                incarnation=message.incarnation,
                role=message.role,
                capacity=message.capacity,
                hostname=message.hostname,
                pid=message.pid,
                gpus=message.gpus,
            )
        )
        welcome = Welcome(
            agent=name,
            run_id=self._state.run_id,
            topology_json=self._topology_json,
            store_dir=str(self._store.root),
            store_nonce=self._store_nonce,
            heartbeat_seconds=self._topology.bus.heartbeat_seconds,
        )
        self._send(peer_id, welcome)

    def _why_refused(self, message: Register) -> str | None:
        if self._state.finish is not None:
            return f"the run is over ({self._state.finish.phase}: {self._state.finish.reason})"
        if message.package_version != seal_runtime.__version__:
            return (
                f"this run needs seal-runtime {seal_runtime.__version__}, the agent has {message.package_version}; install the same release"
            )
        if self._peers.is_superseded(message.incarnation):
            return f"another process has registered as {message.agent}; start this one under another name"
        return None

    def _heartbeat(self, peer_id: bytes, message: Heartbeat) -> None:
        agent = self._peers.agent_of(peer_id)
        if agent is None or self._state.agents.get(agent) is None:
            self._send(peer_id, Pulse(registered=False))
            return
        self._feed(AgentBeat(agent=agent, state=message.state, job_ids=message.job_ids, step_age_seconds=message.step_age_seconds))
        self._send(peer_id, Pulse(registered=True))

    def _answered(self, peer_id: bytes, message: JobDone | JobFailed) -> None:
        agent = self._peers.agent_of(peer_id)
        if agent is None:
            self._send(peer_id, JobAck(job_id=message.job_id, attempt=message.attempt))
        else:
            self._feed(self._event_of(agent, message))

    def _event_of(self, agent: str, message: JobDone | JobFailed) -> JobSucceeded | JobFailedEvent:
        job_id, attempt = message.job_id, message.attempt
        if isinstance(message, JobFailed):
            return JobFailedEvent(
                agent=agent,
                job_id=job_id,
                attempt=attempt,
                error_type=message.error_type,
                reason=message.reason,
                retryable=message.retryable,
            )
        result = message.result
        if isinstance(result, AdaptResult) and not self._store.has(result.adapter.sha256):
            reason = f"the agent named adapter {result.adapter.sha256[:12]}, which is not in the run's store {self._store.root}"
            return JobFailedEvent(agent=agent, job_id=job_id, attempt=attempt, error_type="StoreError", reason=reason, retryable=True)
        return JobSucceeded(
            agent=agent,
            job_id=job_id,
            attempt=attempt,
            result=result,
            started_at=message.started_at,
            duration_seconds=message.duration_seconds,
        )

    def _drain(self, peer_id: bytes, message: DrainRequest) -> None:
        names = [entry.name for entry in self._state.agents.all()]
        if message.agent in names:
            self._feed(DrainRequested(agent=message.agent))
            self._send(peer_id, Done())
            return
        near = difflib.get_close_matches(message.agent, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(names)) or 'none'}"
        self._send(peer_id, Reject(reason=f"no agent is called {message.agent!r}{hint}"))

    def _answer_status(self, peer_id: bytes) -> None:
        now = time.monotonic()
        self._observers[peer_id] = now
        status = dataclasses.replace(self._state.status(now), frames_dropped=self._socket.frames_dropped)
        self._send(peer_id, StatusReply(status=status))
        if self._state.finish is not None:
            self._informed.add(peer_id)

    def _send_to_agent(self, agent: str, message: ToAgent) -> None:
        peer_id = self._peers.peer_of(agent)
        if peer_id is not None:
            self._socket.send(peer_id, message)

    def _send(self, peer_id: bytes, message: ToAgent | ToObserver) -> None:
        self._socket.send(peer_id, message)

    def _linger(self) -> None:
        """Tell agents to leave and observers how it ended, until all know or the time is up."""
        finish = self._state.finish
        assert finish is not None
        for entry in self._state.agents.all():
            self._send_to_agent(entry.name, Shutdown(reason=f"the run is over ({finish.phase}: {finish.reason})"[:2000]))
        waiting = {entry.name for entry in self._state.agents.all()}
        started = time.monotonic()
        while time.monotonic() - started < LINGER_SECONDS:
            watching = {peer for peer, seen in self._observers.items() if started - seen < OBSERVER_MEMORY_SECONDS}
            if not waiting and watching <= self._informed:
                return
            for peer_id, message in self._socket.poll(POLL_SECONDS):
                if isinstance(message, Goodbye):
                    waiting.discard(self._peers.agent_of(peer_id) or "")
                self._receive(peer_id, message)
            self._flush()
