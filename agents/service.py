"""One role of a running agent: takes its messages, moves its jobs on, reports, until it is told to leave.

A process has one of these for each role that it serves. Nothing here waits: the process waits for all of them at once.
"""

import structlog

from agents.adapters import AdapterExchange
from agents.environment import gpu_memory_bytes
from agents.errors import AgentError
from agents.gpu_usage import GpuUsage
from agents.workbench import Answer, Workbench
from agents.worker import Worker
from protocol.channel import AgentChannel
from protocol.errors import ProtocolError
from protocol.jobs import Role
from protocol.messages import Assign, BlobAck, BlobChunk, BlobError, Cancel, Drain, JobFailed, Ready, Reject, Shutdown, ToAgent
from protocol.status import AgentState

log = structlog.get_logger()

_IDLE_WAIT_SECONDS = 0.5
_BUSY_WAIT_SECONDS = 0.01
"""Wait for messages while a grader or a transfer is at work elsewhere."""


class Service:
    """A role with its channel, workbench and exchange. `goodbye` says why it is over, "" while it goes on.

    `is_dismissed`: the controller ended it, not a user.
    """

    def __init__(
        self, *, role: Role, agent: str, channel: AgentChannel, worker: Worker, bench: Workbench, exchange: AdapterExchange
    ) -> None:
        self.role = role
        self.agent = agent
        self.channel = channel
        self.goodbye = ""
        self.is_dismissed = False
        self._worker = worker
        self._bench = bench
        self._exchange = exchange
        self._drain_reason = ""
        self._gpu_usage = GpuUsage()

    @property
    def wait_seconds(self) -> float:
        """Return how long this role can wait for a message before it has something to do."""
        return 0.0 if self._bench.must_advance else _BUSY_WAIT_SECONDS if self._bench.job_ids else _IDLE_WAIT_SECONDS

    def begin(self) -> None:
        """Tell the controller that jobs may come."""
        self.channel.send(Ready(capacity=self._worker.capacity))
        log.info("agent_ready", capacity=self._worker.capacity, shared_store=self._exchange.is_shared)

    def take_messages(self) -> bool:
        """Act on every message that has come; say whether there was one."""
        self.report()
        message = self.channel.receive(0.0)
        took_any = message is not None
        while message is not None:
            self._handle(message)
            message = self.channel.receive(0.0)
        return took_any

    def advance(self) -> None:
        """Do a bounded amount of work and answer what is done; then `goodbye` may be set."""
        if self.goodbye:
            return
        self.report()
        self._exchange.tick()
        for answer in self._bench.advance():
            _send_answer(self.channel, answer)
        self._bench.check_engine()
        if self._drain_reason and not self._bench.job_ids:
            self.goodbye = self._drain_reason

    def report(self) -> None:
        """Let the next heartbeats say what this role is at."""
        state: AgentState = "draining" if self._drain_reason else "busy" if self._bench.job_ids else "idle"
        self.channel.set_state(state, self._bench.job_ids)
        self.channel.touch(gpu_memory_bytes(), self._gpu_usage.busy_share())

    def close(self) -> None:
        """Release the worker and what it was fetching. The channel stays, for the goodbye. Idempotent."""
        self._worker.close()
        self._exchange.close()

    def _handle(self, message: ToAgent) -> None:
        match message:
            case Assign():
                self._bench.accept(message)
            case Cancel():
                self._bench.cancel(message)
            case BlobChunk() | BlobAck() | BlobError():
                self._exchange.receive(message)
            case Drain(reason=reason):
                self._drain_reason = f"drained: {reason}"
                log.info("drain_begun", reason=reason, jobs_held=len(self._bench.job_ids))
            case Shutdown(reason=reason):
                self.goodbye, self.is_dismissed = f"shut down: {reason}", True
            case Reject(reason=reason):
                raise AgentError(f"the controller refused this {self.role}: {reason}")
            case _:
                log.debug("message_ignored", message=type(message).__name__)


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
