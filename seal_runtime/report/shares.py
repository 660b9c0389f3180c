"""Where the time went: each agent's busy seconds by stage, and the throughput of the whole run.

Agents work on many jobs at once, so durations overlap; time is counted as the union of the jobs' intervals, never as their sum.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from seal_runtime.ledger.records import AgentRow, Stage
from seal_runtime.report.gather import Gathered, JobSpan
from seal_runtime.report.model import AgentShare, Throughput
from seal_runtime.report.rounds import per_hour

Interval = tuple[float, float]
STAGES: tuple[str, ...] = get_args(Stage)
"""The stages in the order in which a self-edit passes them."""


def agent_shares(spans: Sequence[JobSpan], agents: Sequence[AgentRow]) -> tuple[AgentShare, ...]:
    """Return one share for each agent that did or was there to do work, in the order of their names."""
    if not spans:
        return ()
    run_end = max(span.ended_at for span in spans)
    names = sorted({span.agent for span in spans} | {agent.agent for agent in agents})
    return tuple(
        _share(name, [span for span in spans if span.agent == name], [agent for agent in agents if agent.agent == name], run_end)
        for name in names
    )


def throughput(gathered: Gathered) -> Throughput:
    """Return what the run did as a whole."""
    spans = gathered.spans
    wall = max(span.ended_at for span in spans) - min(span.started_at for span in spans) if spans else 0.0
    num_scored = sum(study.num_scored for study in gathered.studies.values())
    by_stage = _by_stage(spans)
    return Throughput(
        num_scored=num_scored,
        wall_seconds=wall,
        edits_per_hour=per_hour(num_scored, wall),
        jobs={stage: len(members) for stage, members in by_stage.items()},
        job_seconds={stage: sum(span.ended_at - span.started_at for span in members) for stage, members in by_stage.items()},
    )


def covered_seconds(intervals: Iterable[Interval]) -> float:
    """Return the length of the union of intervals."""
    total, frontier = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, frontier))
        frontier = max(frontier, end)
    return total


def _share(name: str, spans: Sequence[JobSpan], incarnations: Sequence[AgentRow], run_end: float) -> AgentShare:
    work = [(span.started_at, span.ended_at) for span in spans]
    stays = [(agent.joined_at, max(agent.joined_at, run_end if agent.left_at is None else agent.left_at)) for agent in incarnations]
    # Work proves presence: an agent whose stay is unknown, or whose clock differs, was there at least as long as it worked.
    present = covered_seconds(stays + ([(min(start for start, _ in work), run_end)] if work and not stays else work))
    busy = covered_seconds(work)
    return AgentShare(
        agent=name,
        num_jobs=len(spans),
        busy_seconds={stage: covered_seconds((s.started_at, s.ended_at) for s in members) for stage, members in _by_stage(spans).items()},
        present_seconds=present,
        busy_share=busy / present if present > 0 else 0.0,
    )


def _by_stage(spans: Iterable[JobSpan]) -> Mapping[str, list[JobSpan]]:
    by_stage: dict[str, list[JobSpan]] = {}
    for span in spans:
        by_stage.setdefault(span.stage, []).append(span)
    return {stage: by_stage[stage] for stage in STAGES if stage in by_stage}
