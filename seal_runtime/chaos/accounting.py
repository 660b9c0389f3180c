"""Is everything there, once? The run's end, the file, and every job of the plan."""

from seal_runtime.chaos.checks import Check, check
from seal_runtime.chaos.expectation import Expectation
from seal_runtime.chaos.expected import job_id_of
from seal_runtime.chaos.ledger_audit import LedgerAudit


def check_finished(audit: LedgerAudit, exit_code: int) -> Check:
    """The run ended as done."""
    phase, reason = audit.meta.get("phase", "none"), audit.meta.get("reason", "")
    problems = [] if phase == "done" and exit_code == 0 else [f"phase {phase} ({reason}), exit code {exit_code}"]
    epochs = int(audit.meta.get("epoch", "0")) + 1
    return check("run finished", f"phase {phase} after {epochs} controller(s), {audit.num_agents} agent process(es)", problems)


def check_ledger_file(audit: LedgerAudit) -> Check:
    """The database is sound and no job was committed twice."""
    problems = list(audit.repeated)
    if audit.integrity != "ok":
        problems.insert(0, f"PRAGMA integrity_check: {audit.integrity}")
    for row in audit.rows:
        if row.job_id != job_id_of(row.place) or row.job.job_id != row.job_id:
            problems.append(f"{row.job_id} stands at {job_id_of(row.place)} and holds the job {row.job.job_id}")
    return check("nothing twice", f"{len(audit.rows)} results, SQLite integrity {audit.integrity}", problems)


def check_nothing_lost(audit: LedgerAudit, expectation: Expectation) -> Check:
    """Every job of the plan is committed or set aside with its reason, and no other is there."""
    problems: list[str] = []
    for expected in expectation.jobs:
        job_id = job_id_of(expected.place)
        excused = any(cause in audit.set_aside for cause in expected.covered_by)
        if audit.at(expected.place) is None and job_id not in audit.set_aside and not excused:
            problems.append(f"{job_id} was neither committed nor set aside")
    planned = {expected.place for expected in expectation.jobs}
    problems += [f"{row.job_id} is committed but not planned" for row in audit.rows if row.place not in planned]
    problems += [f"{job_id} was set aside without a reason" for job_id, reason in audit.set_aside.items() if not reason]
    evidence = (
        f"{len(planned)} jobs planned, {len(audit.rows)} committed, {len(audit.set_aside)} set aside, "
        f"{len(expectation.unparsed)} edit(s) that cannot be parsed"
    )
    return check("nothing lost", evidence, problems)
