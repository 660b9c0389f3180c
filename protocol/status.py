"""A run as its observers see it: what `StatusReply` carries. Plain facts; the words for people are made where they are shown."""

from dataclasses import dataclass
from typing import Literal

from protocol.jobs import Role

AgentState = Literal["starting", "idle", "busy", "draining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """One agent as the controller sees it."""

    agent: str
    role: Role
    state: AgentState
    hostname: str
    pid: int
    gpus: tuple[int, ...]
    job_ids: tuple[str, ...]
    jobs_done: int
    jobs_failed: int
    busy_seconds: float
    last_seen_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """Progress and score of one study. `mean_score` and `score_stderr` are None until something is scored.

    For a reward study the score is the mean reward over its edits; the standard error is over contexts.
    """

    study: str
    policy_version: int
    num_items: int
    num_scored: int
    num_invalid: int
    num_unparsed: int
    mean_score: float | None
    score_stderr: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A snapshot of a run. `phase` is one word for people: starting, running, updating, finishing, done, stopping, failed.

    `eta_seconds` is None until it can be estimated. `frames_dropped` counts malformed frames since the controller started.
    """

    run_id: str
    phase: str
    round: int
    num_rounds: int
    policy_version: int
    started_at: float
    elapsed_seconds: float
    eta_seconds: float | None
    items_done: int
    items_total: int
    jobs_waiting: dict[str, int]
    frames_dropped: int
    agents: tuple[AgentStatus, ...]
    studies: tuple[StudyStatus, ...]
    problems: tuple[str, ...]
