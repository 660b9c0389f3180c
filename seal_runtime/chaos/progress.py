"""How far a disturbed run is, read from its ledger alone: the controller may be dead, stopped or unreachable at the moment."""

import sqlite3
from pathlib import Path

from seal_runtime.controller.plan import Plan


class ProgressMeter:
    """Counts committed jobs. `jobs_total` is the plan's; edits that cannot be parsed make it an upper bound."""

    def __init__(self, ledger: Path, plan: Plan) -> None:
        self.jobs_total = planned_jobs(plan)
        self.jobs_done = 0
        self._ledger = ledger

    def look(self) -> int:
        """Return the committed jobs now, or as last seen while the ledger cannot be read."""
        if not self._ledger.is_file():
            return self.jobs_done
        try:
            database = sqlite3.connect(f"{self._ledger.as_uri()}?mode=ro", uri=True, timeout=1.0)
            try:
                self.jobs_done = int(database.execute("SELECT COUNT(*) FROM results").fetchone()[0])
            finally:
                database.close()
        except sqlite3.Error:
            return self.jobs_done
        return self.jobs_done


def planned_jobs(plan: Plan) -> int:
    """Return how many jobs the plan has when every edit can be parsed and every round updates the policy."""
    total = 2 * plan.num_rounds
    for study in plan.studies:
        proposals = len(study.instances) if study.source == "policy" else 0
        stages = 1 if study.source == "none" else 2
        total += proposals + study.num_items * study.replicates * stages
    return total
