"""Every attempt at every job as rows, from the ledger's results, failures and decisions to give up."""

from typing import Literal

from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.run.rows import AttemptRow


def attempt_rows(ledger: LedgerReader) -> list[AttemptRow]:
    """Return the attempts in the order of their ends; what was given up, whose time the ledger does not keep, comes last."""
    rows = [*_done(ledger), *_failed(ledger)]
    rows.sort(key=lambda row: row.ended_at or 0.0)
    return rows + [_row(row.job_id, outcome="set aside", reason=row.reason) for row in ledger.set_aside()]


def _done(ledger: LedgerReader) -> list[AttemptRow]:
    return [
        AttemptRow(
            job_id=row.job_id,
            stage=row.stage,
            study=row.study,
            attempt=row.attempt,
            agent=row.agent,
            outcome="done",
            error_type=None,
            reason=None,
            started_at=row.started_at,
            duration_seconds=row.duration_seconds,
            ended_at=row.committed_at,
        )
        for row in ledger.results()
    ]


def _failed(ledger: LedgerReader) -> list[AttemptRow]:
    return [
        _row(
            row.job_id,
            outcome="failed",
            reason=row.reason,
            attempt=row.attempt,
            agent=row.agent or None,
            error_type=row.error_type,
            ended_at=row.at,
        )
        for row in ledger.failures()
    ]


def _row(
    job_id: str,
    *,
    outcome: Literal["failed", "set aside"],
    reason: str,
    attempt: int | None = None,
    agent: str | None = None,
    error_type: str | None = None,
    ended_at: float | None = None,
) -> AttemptRow:
    """Return the row of an attempt without a result; study and stage are the ends of the job's id."""
    return AttemptRow(
        job_id=job_id,
        stage=job_id.rpartition("/")[2],
        study=job_id.partition("/")[0],
        attempt=attempt,
        agent=agent,
        outcome=outcome,
        error_type=error_type,
        reason=reason,
        started_at=None,
        duration_seconds=None,
        ended_at=ended_at,
    )
