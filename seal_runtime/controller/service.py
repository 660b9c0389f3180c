"""The controller's shell: one thread that turns messages and time into events and lets the executor act on the commands.

Loop: poll the socket, feed the state machine, commit, send. Not here: what an event means (`state`) and how it is kept (`executor`).
"""

import time
from collections.abc import Callable

import structlog

import seal_runtime
from protocol.messages import (
    BlobAck,
    BlobChunk,
    BlobError,
    BlobGet,
    DrainRequest,
    Goodbye,
    Heartbeat,
    JobAck,
    JobDone,
    JobFailed,
    LogLines,
    Pulse,
    Ready,
    Register,
    Reject,
    ScaleRequest,
    Shutdown,
    StackReport,
    StatusRequest,
    StopRequest,
    ToAgent,
    ToController,
    ToObserver,
    Welcome,
)
from protocol.router import ControllerSocket
from seal_runtime.config.topology import Topology
from seal_runtime.controller.answers import event_of
from seal_runtime.controller.blobs import BlobServer
from seal_runtime.controller.commands import Command, Finish
from seal_runtime.controller.events import (
    AgentBeat,
    AgentDiagnosed,
    AgentLeft,
    AgentReady,
    AgentRegistered,
    Event,
    StopRequested,
    StorageFailed,
    Tick,
)
from seal_runtime.controller.examine import Examiner
from seal_runtime.controller.executor import Executor
from seal_runtime.controller.far_logs import FarLogs
from seal_runtime.controller.observers import ObserverDesk
from seal_runtime.controller.peers import PeerTable
from seal_runtime.controller.published import Published
from seal_runtime.controller.state import RunState
from seal_runtime.controller.wanted import WantedCounts
from seal_runtime.errors import LedgerError, StoreError
from seal_runtime.ledger import Ledger
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.store.log_file import Rotation
from seal_runtime.store.run_directory import RunDirectory

log = structlog.get_logger()

POLL_SECONDS = 0.1
TICK_SECONDS = 0.25
LINGER_SECONDS = 2.0
"""How long the end of a run is told to observers and agents before the socket closes, at most."""


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
        wanted = WantedCounts(topology, ledger)
        self._peers = PeerTable(wanted, state.agents)
        self._observers = ObserverDesk(state=state, socket=socket, wanted=wanted, feed=self._feed)
        self._published = Published(topology.bus.metrics_bind, self._observers.status)
        self._blobs = BlobServer(store)
        self._executor = Executor(
            ledger=ledger,
            run=run,
            store=store,
            send=self._send_to_agent,
            active_seconds=lambda: state.active_seconds(time.monotonic()),
        )
        self._examiner = Examiner(run.logs)
        self._far_logs = FarLogs(run, Rotation(max_bytes=topology.run.log_max_bytes, num_kept=topology.run.log_files_kept))
        self._commands: list[Command] = []
        self._next_tick = 0.0

    def serve(self, commands: list[Command], stop_reason: Callable[[], str | None]) -> Finish:
        """Run to the end; `stop_reason` is asked every round of the loop and ends the run when it returns one."""
        self._commands += commands
        self._flush()
        while self._state.finish is None:
            self._turn(stop_reason())
        self._linger()
        self._published.close()
        self._examiner.close()
        self._blobs.close()
        return self._state.finish

    def _turn(self, stop_reason: str | None) -> None:
        for peer_id, message in self._socket.poll(POLL_SECONDS):
            self._receive(peer_id, message)
        now = time.monotonic()
        if now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            self._feed(Tick())
            self._published.tick(now)
            self._examine_silent(now)
        if stop_reason is not None:
            self._feed(StopRequested(reason=stop_reason))
        self._flush()

    def _examine_silent(self, now: float) -> None:
        for agent in self._state.silent_agents(now):
            self._feed(self._examiner.examine(agent, now))
        for diagnosed in self._examiner.collect(now):
            self._feed(diagnosed)

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
            case StackReport():
                self._diagnosed(peer_id, message)
            case LogLines():
                self._keep_lines(peer_id, message)
            case Ready():
                self._feed_from(peer_id, lambda agent: AgentReady(agent=agent, capacity=message.capacity))
            case Goodbye():
                self._feed_from(peer_id, lambda agent: AgentLeft(agent=agent, reason=message.reason, died=False))
                self._peers.unbind(peer_id)
            case BlobGet():
                self._send(peer_id, self._blobs.get(message))
            case BlobChunk():
                self._put(peer_id, message)
            case StatusRequest() | StopRequest() | DrainRequest() | ScaleRequest():
                self._observers.receive(peer_id, message)

    def _feed_from(self, peer_id: bytes, event: Callable[[str], Event]) -> None:
        """Feed an event of the agent that speaks on a connection; strangers are not heard."""
        agent = self._peers.agent_of(peer_id)
        if agent is not None:
            self._feed(event(agent))

    def _put(self, peer_id: bytes, chunk: BlobChunk) -> None:
        answer: BlobAck | BlobError | None = BlobError(
            sha256=chunk.sha256, reason="only an agent of this run may send adapters; register first"
        )
        if self._peers.agent_of(peer_id) is not None:
            answer = self._blobs.put(chunk)
        if answer is not None:
            self._send(peer_id, answer)

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
        beat = AgentBeat(
            agent=agent,
            state=message.state,
            job_ids=message.job_ids,
            step_age_seconds=message.step_age_seconds,
            gpu_memory_bytes=message.gpu_memory_bytes,
            gpu_busy_share=message.gpu_busy_share,
            frames_dropped=message.frames_dropped,
        )
        self._feed(beat)
        self._send(peer_id, Pulse(registered=True))

    def _diagnosed(self, peer_id: bytes, message: StackReport) -> None:
        entry = self._state.agents.get(self._peers.agent_of(peer_id) or "")
        if entry is not None:
            self._feed(AgentDiagnosed(agent=entry.name, incarnation=entry.identity.incarnation, condition="", stack=message.stack))

    def _keep_lines(self, peer_id: bytes, message: LogLines) -> None:
        entry = self._state.agents.get(self._peers.agent_of(peer_id) or "")
        if entry is not None:
            self._far_logs.take(entry.name, entry.identity.role, self._state.run_id, message, time.monotonic())

    def _answered(self, peer_id: bytes, message: JobDone | JobFailed) -> None:
        agent = self._peers.agent_of(peer_id)
        if agent is None:
            self._send(peer_id, JobAck(job_id=message.job_id, attempt=message.attempt))
        else:
            self._feed(event_of(agent, message, self._store))

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
            if not waiting and self._observers.all_know_the_end(started):
                return
            for peer_id, message in self._socket.poll(POLL_SECONDS):
                if isinstance(message, Goodbye):
                    waiting.discard(self._peers.agent_of(peer_id) or "")
                self._receive(peer_id, message)
            self._flush()
