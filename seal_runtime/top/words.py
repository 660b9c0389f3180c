"""What a status means, in words: who is the bottleneck, what the time went into. Pure."""

from collections.abc import Sequence

from protocol.jobs import Role
from protocol.status import RoleStatus, RunStatus

ENDED = ("done", "stopped", "failed", "interrupted")
SATURATED_SHARE = 0.85
"""A role that is busy for this share of its time holds the others up."""
TIE_SHARE = 0.05
"""Roles whose shares are so close are named together."""
WORKING_ROLES: tuple[Role, ...] = ("proposer", "trainer", "evaluator")
ACTIVITIES: dict[Role, str] = {"proposer": "proposing", "trainer": "adapting", "evaluator": "evaluating", "critic": "credit"}


def time_shares(roles: Sequence[RoleStatus]) -> dict[str, float]:
    """Return what the agents' time went into since the controller started: shares that add up to 1, empty before anybody was ready.

    As in metrics.jsonl: policy updates count as adapting, and a critic's waiting does not count.
    """
    waiting = sum(max(0.0, role.present_seconds - role.busy_seconds) for role in roles if role.role != "critic")
    total = waiting + sum(role.busy_seconds for role in roles)
    if total <= 0:
        return {}
    return {ACTIVITIES[role.role]: role.busy_seconds / total for role in roles} | {"waiting": waiting / total}


def bottleneck(status: RunStatus) -> str:
    """Say in one sentence which role the others wait for, and what would help."""
    for role in WORKING_ROLES:
        if status.jobs_waiting.get(role) and not any(agent.role == role for agent in status.agents) and status.phase not in ENDED:
            return f"no {role} is here while {status.jobs_waiting[role]} job(s) wait: attach one"
    shares = _busy_shares(status)
    if not shares:
        return "" if status.phase in ENDED else "nothing to say yet: the agents are coming up"
    verb = "were" if status.phase in ENDED else "are"
    (busiest, most), *others = shares
    said = ", ".join([f"{busiest}s {verb} busy {100 * most:.0f} %", *(f"{role}s {100 * share:.0f} %" for role, share in others)])
    if status.phase in ENDED:
        return said
    slowest = [role for role, share in shares if share >= most - TIE_SHARE]
    if most < SATURATED_SHARE:
        return f"{said}: no role holds the others up"
    if len(slowest) == len(shares):
        return f"{said}: all are at their limit"
    return f"{said}: add {' and '.join(f'{_article(role)} {role}' for role in slowest)}"


def _busy_shares(status: RunStatus) -> list[tuple[str, float]]:
    """Return the busy share of each role that works, the busiest first: the recent one, of a run that is over that of all its time."""
    found = []
    for role in status.roles:
        if role.role not in WORKING_ROLES:
            continue
        if status.phase in ENDED:
            share = role.busy_seconds / role.present_seconds if role.present_seconds > 0 else None
        else:
            share = role.recent_busy_share if role.num_agents else None
        if share is not None:
            found.append((role.role, min(1.0, share)))
    return sorted(found, key=lambda item: -item[1])


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
