"""Who tried what, when and with which end: every attempt at the jobs that a self-edit passed through."""

from collections.abc import Mapping, Sequence

from seal_runtime.controller.dispatch import ATTEMPTS_PER_EPOCH
from seal_runtime.ledger.records import AgentRow, FailureRow, ResultRow
from seal_runtime.story.model import Attempt


def attempts_of(
    job_ids: Sequence[str], rows: Mapping[str, ResultRow], failures: Sequence[FailureRow], agents: Sequence[AgentRow]
) -> tuple[Attempt, ...]:
    """Return the attempts at the jobs, in the order of the jobs and of the tries. Tries that left no record are said to be lost."""
    found: list[Attempt] = []
    for job_id in job_ids:
        row = rows.get(job_id)
        known = [_failed(failure, agents) for failure in failures if failure.job_id == job_id]
        if row is not None:
            known.append(_committed(row, agents))
        found += sorted([*known, *_lost(job_id, known)], key=lambda attempt: (attempt.controller, attempt.number))
    return tuple(found)


def stage_of(job_id: str) -> str:
    """Return the stage that a job id ends in."""
    return job_id.rpartition("/")[2]


def _committed(row: ResultRow, agents: Sequence[AgentRow]) -> Attempt:
    who = _agent_at(row.agent, row.started_at, agents)
    controller, number = divmod(row.attempt, ATTEMPTS_PER_EPOCH)
    return Attempt(
        job_id=row.job_id,
        stage=stage_of(row.job_id),
        controller=controller,
        number=number,
        outcome="committed",
        agent=row.agent,
        hostname=who.hostname if who is not None else "",
        gpus=who.gpus if who is not None else (),
        started_at=row.started_at,
        ended_at=row.started_at + row.duration_seconds,
        duration_seconds=row.duration_seconds,
        error_type="",
        reason="",
    )


def _failed(failure: FailureRow, agents: Sequence[AgentRow]) -> Attempt:
    who = _agent_at(failure.agent, failure.at, agents)
    controller, number = divmod(failure.attempt, ATTEMPTS_PER_EPOCH)
    return Attempt(
        job_id=failure.job_id,
        stage=stage_of(failure.job_id),
        controller=controller,
        number=number,
        outcome="failed",
        agent=failure.agent,
        hostname=who.hostname if who is not None else "",
        gpus=who.gpus if who is not None else (),
        started_at=None,
        ended_at=failure.at,
        duration_seconds=None,
        error_type=failure.error_type,
        reason=failure.reason,
    )


def _lost(job_id: str, known: Sequence[Attempt]) -> list[Attempt]:
    """Return the tries whose numbers are missing below the last known one of each controller."""
    seen = {(attempt.controller, attempt.number) for attempt in known}
    last: dict[int, int] = {}
    for controller, number in seen:
        last[controller] = max(last.get(controller, 0), number)
    return [
        Attempt(
            job_id=job_id,
            stage=stage_of(job_id),
            controller=controller,
            number=number,
            outcome="lost",
            agent="",
            hostname="",
            gpus=(),
            started_at=None,
            ended_at=None,
            duration_seconds=None,
            error_type="",
            reason="the lease ended without an answer: its agent died, left or was given up",
        )
        for controller, highest in last.items()
        for number in range(1, highest)
        if (controller, number) not in seen
    ]


def _agent_at(name: str, at: float, agents: Sequence[AgentRow]) -> AgentRow | None:
    """Return the process that had the name at a time: the last that had joined by then."""
    known = [agent for agent in agents if agent.agent == name]
    joined = [agent for agent in known if agent.joined_at <= at]
    return max(joined, key=lambda agent: agent.joined_at, default=known[0] if known else None)
