"""The status of a run without its controller: replay what the ledger holds through the controller's own state machine."""

import time
from dataclasses import replace

from protocol.jobs import ROLES
from protocol.status import RunStatus
from seal_runtime.store.run_directory import RunDirectory

ENDED = ("done", "stopped", "failed")


def status_from_ledger(run: RunDirectory) -> RunStatus:
    """Return the status that the last controller left. One that left no word makes a run `interrupted`, or `starting` under a launcher.

    Raises LedgerError without a ledger, ConfigError or DataError when the task cannot be made again.
    """
    from launch.run_setup import is_claimed
    from seal_runtime.config.loading import load_resolved
    from seal_runtime.controller.recovery import committed_records
    from seal_runtime.controller.state import RunState
    from seal_runtime.ledger.reader import LedgerReader
    from seal_runtime.ledger.wanted import wanted_of
    from seal_runtime.tasks.registry import make_task

    with LedgerReader(run.ledger) as ledger:
        meta = ledger.meta()
        committed = list(committed_records(ledger))
    topology = load_resolved(run.topology)
    state = RunState(
        topology=topology,
        task=make_task(topology.task),
        run_id=meta.get("run_id", topology.run.name),
        started_at=float(meta.get("started_at", 0.0)),
        active_seconds=float(meta.get("active_seconds", 0.0)),
    )
    without_a_word = "starting" if is_claimed(run) else "interrupted"
    now = time.monotonic()
    state.begin(now, committed)
    status = state.status(now)
    phase = meta.get("phase", "")
    reason = meta.get("reason", "")
    problems = (reason,) if reason and phase == "failed" and reason not in status.problems else ()
    wanted = wanted_of(meta, {role: topology.agents(role).count for role in ROLES})
    return replace(
        status,
        wanted=tuple(wanted.values()),
        phase=phase if phase in ENDED else without_a_word,
        eta_seconds=None,
        problems=(*problems, *status.problems),
    )
