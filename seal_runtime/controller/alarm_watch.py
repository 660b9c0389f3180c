"""Applies the alarms' rules to the run as it goes on, and tells each alarm once."""

from protocol.status import Alarm
from seal_runtime.alarms.find import find_alarms, paces_of, points_of
from seal_runtime.controller.agents_table import AgentsTable
from seal_runtime.controller.workflow import Workflow

LOOK_SECONDS = 2.0
"""Time between two looks for the log."""


class AlarmWatch:
    """Reads the workflow and the agents' table; changes nothing."""

    def __init__(self, workflow: Workflow, agents: AgentsTable) -> None:
        self._workflow = workflow
        self._agents = agents
        self._told: set[tuple[str, str]] = set()
        self._look_due = 0.0

    def all(self, now: float) -> tuple[Alarm, ...]:
        """Return every alarm that holds now."""
        studies = [progress.status() for progress in self._workflow.studies.values()]
        return find_alarms(points_of(studies), paces_of([entry.status(now) for entry in self._agents.all()]))

    def new(self, now: float) -> list[Alarm]:
        """Return the alarms that were not returned here before; looks now and then only."""
        if now < self._look_due:
            return []
        self._look_due = now + LOOK_SECONDS
        found = [alarm for alarm in self.all(now) if (alarm.kind, alarm.subject) not in self._told]
        self._told |= {(alarm.kind, alarm.subject) for alarm in found}
        return found
