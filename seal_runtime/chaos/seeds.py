"""Is every seed the one that the run seed gives for its place? Then who did the work, and how often, left no trace in it."""

from collections.abc import Iterator

from protocol.jobs import AdaptJob, CreditJob, ProposeJob
from seal_runtime.chaos.checks import Check, check
from seal_runtime.chaos.ledger_audit import AuditRow, LedgerAudit
from seal_runtime.seeds import derive_seed


def check_seeds(audit: LedgerAudit, run_seed: int) -> Check:
    """Derive each seed again from run seed and place, and compare."""
    problems: list[str] = []
    num_seeds = 0
    for row in audit.rows:
        for held, derived in _seeds(row, run_seed):
            num_seeds += 1
            if held != derived:
                problems.append(f"{row.job_id} was done with seed {held}, its place gives {derived}")
    return check("seeds as derived", f"{num_seeds} seeds", problems)


def _seeds(row: AuditRow, run_seed: int) -> Iterator[tuple[int, int]]:
    """Yield (held, derived). A policy update's seed is the critic's choice, which its credit result fixes."""
    stage, study, context_id, edit_index, replicate = row.place
    job = row.job
    if isinstance(job, ProposeJob) and edit_index >= 0:
        yield job.seeds[0], derive_seed(run_seed, "propose", study, context_id, edit_index, replicate)
    elif isinstance(job, ProposeJob):
        for index, seed in enumerate(job.seeds):
            yield seed, derive_seed(run_seed, "propose", study, context_id, index)
    elif isinstance(job, AdaptJob) and stage == "adapt":
        yield job.seed, derive_seed(run_seed, "adapt", study, context_id, edit_index, replicate)
    elif isinstance(job, CreditJob):
        yield job.seed, derive_seed(run_seed, "credit", study)
