"""The alarm about agents: one takes at least three times as long for a job as its peers.

Three times, because two is within what load, batch size and a shared processor do. Seconds at work over jobs done is compared with the
median of the other agents of the role that have done enough to be compared with. An agent without any finished job counts as if it had just
finished one.
"""

from bisect import bisect_left
from collections.abc import Sequence

from seal_runtime.alarms.points import AgentPace

SLOW_FACTOR = 3.0
MIN_BUSY_SECONDS = 60.0
MIN_PEER_JOBS = 10


def slow_agents(paces: Sequence[AgentPace]) -> list[tuple[str, str]]:
    """Return the slow agents, each with a text."""
    ascending: dict[str, list[float]] = {}
    for pace in paces:
        if pace.num_jobs >= MIN_PEER_JOBS:
            ascending.setdefault(pace.role, []).append(_seconds_a_job(pace))
    for seconds in ascending.values():
        seconds.sort()
    found = []
    for pace in paces:
        own = _seconds_a_job(pace)
        usual = _median_of_peers(ascending.get(pace.role, []), own if pace.num_jobs >= MIN_PEER_JOBS else None)
        if usual is not None and pace.busy_seconds >= MIN_BUSY_SECONDS and own >= SLOW_FACTOR * usual:
            found.append((pace.agent, _text(pace, own, usual)))
    return found


def _median_of_peers(ascending: Sequence[float], own: float | None) -> float | None:
    """Return the median of ascending values without one that is `own`, without a pass over them: there may be a thousand agents."""
    left_out = len(ascending) if own is None else bisect_left(ascending, own)
    num_peers = len(ascending) - (own is not None)
    if not num_peers:
        return None
    low, high = (ascending[index + (index >= left_out)] for index in ((num_peers - 1) // 2, num_peers // 2))
    return (low + high) / 2


def _text(pace: AgentPace, own: float, usual: float) -> str:
    done = f"takes {own:.2g} s at work for a job" if pace.num_jobs else f"has finished no job in {pace.busy_seconds:.0f} s at work"
    return f"{pace.agent} {done}, its peers {usual:.2g} s: look at its machine, or drain it"


def _seconds_a_job(pace: AgentPace) -> float:
    return pace.busy_seconds / max(1, pace.num_jobs)
