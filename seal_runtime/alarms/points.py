"""What the rules look at: the figures of each round, and how fast each agent works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPoint:
    """A finished round, and the held-out score of the policy that wrote its self-edits. Scores are in [0, 1].

    None is what was not measured; `unique_share` is the share of different self-edits within a context. A policy that no round used
    (the last one) has a point with `num_edits` 0 and a held-out score only.
    """

    policy_version: int
    reward: float | None
    reward_stderr: float | None
    heldout: float | None
    heldout_stderr: float | None
    num_edits: int
    num_unparsed: int
    unique_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPace:
    """What an agent has done: jobs, and the seconds in which it had at least one."""

    agent: str
    role: str
    num_jobs: int
    busy_seconds: float
