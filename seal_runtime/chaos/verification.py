"""All checks of a disturbed run, in the order in which people want to read them."""

from pathlib import Path

from seal_runtime.chaos.accounting import check_finished, check_ledger_file, check_nothing_lost
from seal_runtime.chaos.checks import Check
from seal_runtime.chaos.comparison import check_same
from seal_runtime.chaos.expectation import expect
from seal_runtime.chaos.ledger_audit import LedgerAudit
from seal_runtime.chaos.leftovers import check_adapters, check_files, check_processes
from seal_runtime.chaos.receipts import check_policies, check_receipts, check_rewards
from seal_runtime.chaos.seeds import check_seeds
from seal_runtime.config.topology import Topology
from seal_runtime.controller.plan import Plan
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.tasks.base import Task


def verify_ledger(audit: LedgerAudit, topology: Topology, plan: Plan, task: Task, *, exit_code: int) -> list[Check]:
    """Return the checks that need the ledger alone."""
    expectation = expect(topology, plan, task, audit)
    return [
        check_finished(audit, exit_code),
        check_nothing_lost(audit, expectation),
        check_ledger_file(audit),
        check_receipts(audit, expectation),
        check_rewards(audit, expectation),
        check_policies(audit, expectation),
        check_seeds(audit, topology.run.seed),
    ]


def verify_run(
    run: RunDirectory,
    audit: LedgerAudit,
    topology: Topology,
    plan: Plan,
    task: Task,
    *,
    exit_code: int,
    scratch_before: frozenset[Path],
    calm: LedgerAudit,
) -> list[Check]:
    """Return every check: the ledger's, what was left behind, and the comparison with the calm run."""
    return [
        *verify_ledger(audit, topology, plan, task, exit_code=exit_code),
        check_processes(run),
        check_files(run, scratch_before),
        check_adapters(run, topology, audit),
        *check_same(audit, calm),
    ]
