"""What the ledger keeps: the records that the controller commits and the rows that readers get back.

A record is written once and never changed. "Not applicable" is -1 for numbers and "" for names (a proposal has no edit index).
"""

from dataclasses import dataclass
from typing import Literal

from protocol.jobs import Job, JobResult, Role

Stage = Literal["propose", "adapt", "evaluate", "credit", "policy"]

NOT_APPLICABLE = -1
"""The edit index, replicate or parent of a record that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKey:
    """Where a job stands in a run. `context_id` is "" and the indices are -1 where the stage has none.

    A proposal with an edit index asks for that one edit again; `replicate` is then the number of the resample, from 1. An adapt job without
    a context trains one adapter for all contexts of its study.
    """

    stage: Stage
    study: str
    context_id: str
    edit_index: int
    replicate: int

    @property
    def job_id(self) -> str:
        """Return the job's id, unique in the run and the same in every run with the same settings."""
        if self.stage in ("credit", "policy"):
            return f"{self.study}/{self.stage}"
        if self.stage == "propose" and self.edit_index != NOT_APPLICABLE:
            return f"{self.study}/{self.context_id}/e{self.edit_index}/s{self.replicate}/propose"
        if self.stage == "propose":
            return f"{self.study}/{self.context_id}/propose"
        if not self.context_id:
            return f"{self.study}/r{self.replicate}/{self.stage}"
        return f"{self.study}/{self.context_id}/e{self.edit_index}/r{self.replicate}/{self.stage}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """A job that is done. `score` is the score of an evaluation and None for every other stage."""

    key: JobKey
    policy_version: int
    attempt: int
    agent: str
    started_at: float
    duration_seconds: float
    score: float | None
    job: Job
    result: JobResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRecord:
    """An attempt that ended without result, for people to read; it is not replayed."""

    job_id: str
    attempt: int
    agent: str
    error_type: str
    reason: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAsideRecord:
    """A job that was given up: what depends on it is invalid and enters neither rewards nor means."""

    job_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord:
    """A policy version. `adapter_sha256` is "" when it adds no adapter to its parent's chain; version 0 has parent -1."""

    version: int
    parent: int
    round: int
    adapter_sha256: str
    rank: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentJoined:
    """An agent registered."""

    agent: str
    incarnation: str
    role: Role
    hostname: str
    pid: int
    gpus: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentGone:
    """An agent left or was given up."""

    agent: str
    incarnation: str
    reason: str


Record = ResultRecord | FailureRecord | SetAsideRecord | PolicyRecord | AgentJoined | AgentGone


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """A committed result as readers see it; `seq` is the order of commits, `committed_at` seconds since the epoch."""

    seq: int
    job_id: str
    stage: Stage
    study: str
    context_id: str
    edit_index: int
    replicate: int
    policy_version: int
    attempt: int
    agent: str
    started_at: float
    duration_seconds: float
    committed_at: float
    score: float | None
    job: Job
    result: JobResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAsideRow:
    """A job that was given up; `seq` is in one order with the results."""

    seq: int
    job_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """An attempt that ended without result, `at` seconds since the epoch."""

    job_id: str
    attempt: int
    agent: str
    error_type: str
    reason: str
    retryable: bool
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A policy version, created `created_at` seconds since the epoch."""

    version: int
    parent: int
    round: int
    adapter_sha256: str
    rank: int
    num_bytes: int
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """One incarnation of an agent. `left_at` and `reason` are None while it is there."""

    agent: str
    incarnation: str
    role: Role
    hostname: str
    pid: int
    gpus: tuple[int, ...]
    joined_at: float
    left_at: float | None
    reason: str | None
