"""A run as its observers see it: what `StatusReply` carries. Plain facts; the words for people are made where they are shown."""

from dataclasses import dataclass
from typing import Literal

from protocol.jobs import Role

AgentState = Literal["starting", "idle", "busy", "draining"]
AlarmKind = Literal["reward_hacking", "diversity_collapse", "parse_failures", "plateau", "slow_agent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """One agent as the controller sees it.

    `gpu_memory_bytes` is what the agent's process holds on its GPUs (0: no GPU, or unknown), `gpu_busy_share` the share of the last
    moment in which its GPUs worked, their mean, in [0, 1]; None where nobody can tell.
    """

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
    gpu_memory_bytes: int
    gpu_busy_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAgents:
    """How many agents of a role the run's launcher shall keep; agents attached by hand come on top.

    `request` numbers the ScaleRequests of the role, 0: the topology's own count. The launcher acts once on each.
    """

    role: Role
    count: int
    request: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """Progress and score of one study. `mean_score` and `score_stderr` are None until something is scored.

    For a reward study the score is the mean reward over its edits; the standard error is over contexts. `unique_share` is the share of
    its written self-edits that differ from all others of their context, counting one of each kind; None where nothing was written.
    """

    study: str
    policy_version: int
    num_items: int
    num_scored: int
    num_invalid: int
    num_unparsed: int
    mean_score: float | None
    score_stderr: float | None
    unique_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleStatus:
    """What all agents of a role did together since this controller started.

    Seconds are agent-seconds (two agents at work for 3 s are 6): `busy_seconds` with at least one job, `present_seconds` since ready.
    `recent_busy_share` is the same ratio over the last two minutes, in [0, 1]; None while no agent was ready in that time.
    """

    role: Role
    num_agents: int
    busy_seconds: float
    present_seconds: float
    recent_busy_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something about the learning or the agents that people should look at; `text` says what was seen, in one sentence.

    `subject` is the study or the agent that it is about. The rules are those of `seal_runtime.alarms`.
    """

    kind: AlarmKind
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A snapshot of a run. `phase` is one word for people: starting, running, updating, finishing, done, stopping, failed.

    `eta_seconds` is None until it can be estimated. `frames_dropped` counts malformed frames: those that the controller
    got since it started, and those that its present agents got. `policy_lag` is by how many versions the policy of the round that is
    being scored is older than the newest. `edits_per_hour` counts scored self-edits of all studies over the run's active time,
    `recent_edits_per_hour` over the last two minutes; None until there is something to go by.
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
    policy_lag: int
    edits_per_hour: float | None
    recent_edits_per_hour: float | None
    jobs_waiting: dict[str, int]
    frames_dropped: int
    agents: tuple[AgentStatus, ...]
    wanted: tuple[WantedAgents, ...]
    studies: tuple[StudyStatus, ...]
    problems: tuple[str, ...]
    roles: tuple[RoleStatus, ...]
    alarms: tuple[Alarm, ...]
