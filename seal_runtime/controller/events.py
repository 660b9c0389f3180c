"""What can happen to a run. The shell turns messages, silence and the clock into these; the state machine sees nothing else."""

from dataclasses import dataclass

from protocol.jobs import JobResult, Role
from protocol.status import AgentState


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRegistered:
    """An agent said who it is. `agent` is its final name; the same incarnation may register again after a broken connection."""

    agent: str
    incarnation: str
    role: Role
    capacity: int
    hostname: str
    pid: int
    gpus: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReady:
    """An agent's engine is loaded and takes up to `capacity` jobs."""

    agent: str
    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentBeat:
    """A heartbeat. `step_age_seconds` is how long ago the agent's main thread last came round."""

    agent: str
    state: AgentState
    job_ids: tuple[str, ...]
    step_age_seconds: float
    gpu_memory_bytes: int
    gpu_busy_share: float | None
    frames_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDiagnosed:
    """Why an agent does not come round, as far as it could be found out.

    `condition` is in words ("stopped by a signal"), "" when the stack says all; `stack` the calls of its main thread, innermost first.
    """

    agent: str
    incarnation: str
    condition: str
    stack: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLeft:
    """An agent is gone: `died` when it went without a goodbye."""

    agent: str
    reason: str
    died: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSucceeded:
    """An agent answered a job."""

    agent: str
    job_id: str
    attempt: int
    result: JobResult
    started_at: float
    duration_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailedEvent:
    """An agent could not do a job, or its answer cannot be used."""

    agent: str
    job_id: str
    attempt: int
    error_type: str
    reason: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    """A user or a signal ends the run."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRequested:
    """A user lets an agent finish its jobs and leave."""

    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFailed:
    """The ledger or the run directory refused a write: nothing can be promised any more."""

    reason: str


AgentEvent = AgentRegistered | AgentReady | AgentBeat | AgentDiagnosed | AgentLeft | DrainRequested
"""What happens to agents and not to their jobs."""
Event = AgentEvent | JobSucceeded | JobFailedEvent | Tick | StopRequested | StorageFailed
