"""Every message of the bus. One frozen dataclass each; its docstring says who sends it, who answers, and what it promises.

Agents (DEALER) speak to the controller (ROUTER) only. Observers (the CLI) use the same socket. The wire form is a msgpack map
with the protocol version and the message's `type` (see `protocol.codec`); adapter bytes travel only in `BlobChunk`.
"""

from dataclasses import dataclass

from protocol.jobs import Job, JobResult, Role
from protocol.status import AgentState, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Agent -> controller, first message of a connection, repeated until answered. Answered by Welcome or Reject.

    `agent` is the wished name ("" lets the controller choose); `incarnation` is random for each process, so that a restarted
    agent under its old name is recognised as a new one and the jobs of the old one are given to others.
    """

    role: Role
    agent: str
    incarnation: str
    capacity: int
    hostname: str
    pid: int
    gpus: tuple[int, ...]
    package_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """Controller -> agent. The agent's final name and all that it needs; afterwards the agent loads its engine and sends Ready.

    `topology_json` is the resolved topology. `store_dir` is the controller's adapter store and `store_nonce` the content of its file
    `.nonce`: an agent that reads the same nonce there shares the disk, any other must move adapters in chunks.
    """

    agent: str
    run_id: str
    topology_json: str
    store_dir: str
    store_nonce: str
    heartbeat_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Controller -> agent or observer: the request is refused for good, and why. The receiver stops with the reason as its error."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Agent -> controller: the engine is loaded; jobs may come, at most `capacity` unanswered at a time."""

    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Agent -> controller from a thread of its own, every `heartbeat_seconds`. `job_ids` are the jobs at work; it renews their leases.

    `step_age_seconds` is the time since the agent's main thread last came round: the thread lives when the heart beats, but is it stuck?
    `frames_dropped` counts the malformed frames that came from the controller's side. `gpu_busy_share` (in [0, 1]) is the mean over the
    agent's GPUs, None where it has none or nobody can tell.
    """

    state: AgentState
    job_ids: tuple[str, ...]
    step_age_seconds: float
    gpu_memory_bytes: int
    gpu_busy_share: float | None
    frames_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StackReport:
    """Agent -> controller from the bus thread: the main thread has not come round for `step_age_seconds`, and this is where it is.

    `stack` are its calls as `file:line function`, innermost first. Sent again now and then while it lasts. No answer.
    """

    step_age_seconds: float
    stack: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """Agent -> controller from the bus thread, from an agent that cannot write in the run's directory: what it logged, as JSON lines.

    Small and at a bounded rate (`protocol.log_shipping`), after everything else that is due. `num_dropped` lines before these were lost
    because there were too many. No answer, never sent twice: the controller appends them to the sender's own log file or drops them.
    """

    lines: tuple[str, ...]
    num_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """Controller -> agent, in answer to every Heartbeat: the controller lives.

    `registered` False means that the controller does not (or no longer) count this connection among its agents: the sender
    registers again under its name and incarnation (`protocol.channel` does it by itself; the agent's main thread never sees a Pulse).
    """

    registered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Controller -> agent: a lease on a job. `attempt` is the fencing token that the answer must carry."""

    job_id: str
    attempt: int
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Controller -> agent: the lease is gone; drop the job if it has not begun, ignore otherwise. No answer."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDone:
    """Agent -> controller: the result of a leased job. Sent until answered by JobAck (a commit happens before the acknowledgement)."""

    job_id: str
    attempt: int
    result: JobResult
    started_at: float
    duration_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed:
    """Agent -> controller: the job ended without result. Answered by JobAck. Never a reward.

    `retryable` False means that every agent would fail the same way (a diverged loss): the item becomes invalid at once.
    """

    job_id: str
    attempt: int
    error_type: str
    reason: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAck:
    """Controller -> agent: JobDone or JobFailed was committed or found to be late; the agent may forget the job either way."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Controller -> agent: finish the jobs you hold, take no more, say Goodbye and exit."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """Controller -> agent: stop now; what is under way is dropped (it will be redone if it is needed). Agent says Goodbye and exits."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodbye:
    """Agent -> controller, last message of a connection: its leases are free. No answer."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobGet:
    """Agent -> controller: send `length` bytes of a file of an adapter from `offset`. Answered by BlobChunk or BlobError."""

    sha256: str
    file: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobChunk:
    """Bytes of an adapter's file, either direction. `crc32` covers `data`; `file_size` is the size of the whole file.

    Controller -> agent in answer to BlobGet; agent -> controller to upload (answered by BlobAck).
    """

    sha256: str
    file: str
    offset: int
    file_size: int
    crc32: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobAck:
    """Controller -> agent: bytes up to `next_offset` of the file are here; `complete`: the whole adapter is, its SHA-256 checked."""

    sha256: str
    file: str
    next_offset: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobError:
    """Controller -> agent: this adapter cannot be sent or received, and why."""

    sha256: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """Observer -> controller. Answered by StatusReply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReply:
    """Controller -> observer."""

    status: RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    """Observer -> controller: end the run now, everything committed is kept and can be resumed. Answered by Done."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRequest:
    """Observer -> controller: let one agent finish its jobs and leave. Answered by Done or Reject."""

    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRequest:
    """Observer -> controller: the run's launcher shall keep `count` agents of a role from now on. Answered by Done once it is committed
    (agents come and go afterwards; `RunStatus.wanted` shows the count), or by Reject when it is impossible.
    """

    role: Role
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Controller -> observer: the request was carried out."""


FromAgent = Register | Ready | Heartbeat | StackReport | LogLines | JobDone | JobFailed | Goodbye | BlobGet | BlobChunk
FromObserver = StatusRequest | StopRequest | DrainRequest | ScaleRequest
ToController = FromAgent | FromObserver
ToAgent = Welcome | Reject | Pulse | Assign | Cancel | JobAck | Drain | Shutdown | BlobChunk | BlobAck | BlobError
ToObserver = StatusReply | Done | Reject
Message = ToController | ToAgent | ToObserver
