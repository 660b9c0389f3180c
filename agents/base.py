"""The life of an agent: connect, register, load the engine, serve jobs, say goodbye. The same for all roles.

One thread does all this and steps the engine; the channel's own thread keeps the heartbeats going meanwhile. Every wait has a deadline:
for the connection file, the Welcome, a silent controller. SIGTERM unwinds whatever the main thread is at and ends in a Goodbye.
"""

import time

import structlog

import seal_runtime
from agents.adapters import AdapterExchange
from agents.environment import gpu_memory_bytes
from agents.errors import AgentError
from agents.joining import Membership, join
from agents.options import AgentOptions
from agents.signals import Stopped, stop_signals
from agents.workbench import Answer, Workbench
from protocol.channel import AgentChannel
from protocol.errors import ChannelError, ProtocolError
from protocol.messages import Assign, BlobAck, BlobChunk, BlobError, Cancel, Drain, JobFailed, Ready, Reject, Shutdown, ToAgent, Welcome
from protocol.security import ConnectionInfo, read_connection_file
from protocol.status import AgentState
from seal_runtime.logging import configure_logging

log = structlog.get_logger()

_IDLE_WAIT_SECONDS = 0.5
_BUSY_WAIT_SECONDS = 0.01
"""Wait for messages while a grader or a transfer is at work elsewhere."""
_GOODBYE_SECONDS = 1.0
_FILE_POLL_SECONDS = 0.1


class Agent:
    """One agent process. `run` returns when it has said goodbye and raises SealError when it cannot go on."""

    def __init__(self, options: AgentOptions) -> None:
        self._options = options
        self._stop_reason = ""
        self._drain_reason = ""

    def run(self) -> None:
        """Live from the connection to the goodbye."""
        options = self._options
        configure_logging(role=options.role, agent=options.name or options.role, run="", log_file=None, console=options.console)
        with stop_signals(handle_interrupt=options.handle_interrupt):
            try:
                info = self._await_connection_file()
                channel = self._connect(info)
            except Stopped:
                return
            goodbye = "the agent failed"
            try:
                goodbye = self._join_and_serve(channel)
            except Stopped as stop:
                goodbye = str(stop)
            except Exception as error:
                goodbye = f"{type(error).__name__}: {error}"[:1000]
                log.error("agent_failed", reason=goodbye, exc_info=True)
                raise
            finally:
                all_acknowledged = channel.close(goodbye, _GOODBYE_SECONDS)
                log.info("goodbye_said", reason=goodbye, all_acknowledged=all_acknowledged)

    def _await_connection_file(self) -> ConnectionInfo:
        deadline = time.monotonic() + self._options.controller_timeout_seconds
        while True:
            try:
                return read_connection_file(self._options.connection_file)
            except ChannelError as error:
                if time.monotonic() > deadline or not isinstance(error.__cause__, FileNotFoundError):
                    raise
            time.sleep(_FILE_POLL_SECONDS)

    def _connect(self, info: ConnectionInfo) -> AgentChannel:
        return AgentChannel.connect(
            info,
            role=self._options.role,
            agent=self._options.name,
            capacity=0,
            gpus=self._options.gpus,
            package_version=seal_runtime.__version__,
            refresh=self._read_again,
        )

    def _read_again(self) -> ConnectionInfo | None:
        try:
            return read_connection_file(self._options.connection_file)
        except ChannelError:
            return None

    def _join_and_serve(self, channel: AgentChannel) -> str:
        membership = join(self._await_welcome(channel), self._options, channel)
        try:
            channel.send(Ready(capacity=membership.worker.capacity))
            log.info("agent_ready", capacity=membership.worker.capacity, shared_store=membership.exchange.is_shared)
            return self._serve(channel, membership)
        finally:
            membership.close()

    def _await_welcome(self, channel: AgentChannel) -> Welcome:
        while True:
            match channel.receive(_IDLE_WAIT_SECONDS):
                case Welcome() as welcome:
                    return welcome
                case Reject(reason=reason) | Shutdown(reason=reason):
                    raise AgentError(f"the controller refused this {self._options.role}: {reason}")
                case _:
                    self._check_controller(channel)

    def _serve(self, channel: AgentChannel, membership: Membership) -> str:
        """Take messages, step, answer, until told to leave; return the reason for the goodbye."""
        bench, exchange = membership.bench, membership.exchange
        while True:
            self._report(channel, bench)
            self._take_messages(channel, bench, exchange)
            if self._stop_reason:
                return self._stop_reason
            self._report(channel, bench)
            exchange.tick()
            for answer in bench.advance():
                _send_answer(channel, answer)
            bench.check_engine()
            if self._drain_reason and not bench.job_ids:
                return self._drain_reason
            self._check_controller(channel)

    def _take_messages(self, channel: AgentChannel, bench: Workbench, exchange: AdapterExchange) -> None:
        wait_seconds = 0.0 if bench.must_advance else _BUSY_WAIT_SECONDS if bench.job_ids else _IDLE_WAIT_SECONDS
        message = channel.receive(wait_seconds)
        while message is not None:
            self._handle(message, bench, exchange)
            message = channel.receive(0.0)

    def _handle(self, message: ToAgent, bench: Workbench, exchange: AdapterExchange) -> None:
        match message:
            case Assign():
                bench.accept(message)
            case Cancel():
                bench.cancel(message)
            case BlobChunk() | BlobAck() | BlobError():
                exchange.receive(message)
            case Drain(reason=reason):
                self._drain_reason = f"drained: {reason}"
                log.info("drain_begun", reason=reason, jobs_held=len(bench.job_ids))
            case Shutdown(reason=reason):
                self._stop_reason = f"shut down: {reason}"
            case Reject(reason=reason):
                raise AgentError(f"the controller refused this {self._options.role}: {reason}")
            case _:
                log.debug("message_ignored", message=type(message).__name__)

    def _report(self, channel: AgentChannel, bench: Workbench) -> None:
        state: AgentState = "draining" if self._drain_reason else "busy" if bench.job_ids else "idle"
        channel.set_state(state, bench.job_ids)
        channel.touch(gpu_memory_bytes())

    def _check_controller(self, channel: AgentChannel) -> None:
        silence, limit = channel.silence_seconds, self._options.controller_timeout_seconds
        if silence > limit:
            raise AgentError(
                f"no word from the controller for {silence:.0f} s (limit {limit:g} s; {channel.problem or 'connected'}): "
                f"is the run of {self._options.connection_file} still alive? `seal-runtime resume` continues it"
            )


def _send_answer(channel: AgentChannel, answer: Answer) -> None:
    """Send an answer; one without a wire form (a loss that is no number) is the failure of its job."""
    try:
        channel.send(answer)
    except ProtocolError as error:
        log.warning("answer_refused", job=answer.job_id, reason=str(error))
        failure = JobFailed(
            job_id=answer.job_id, attempt=answer.attempt, error_type="ProtocolError", reason=str(error)[:2000], retryable=False
        )
        channel.send(failure)
