"""What the agents did while a study was under way, as shares of their time: the `time_shares` of metrics.jsonl.

    proposing, adapting, evaluating, credit    agent-seconds with a job of the role
    waiting                                    agent-seconds of proposers, trainers and evaluators that were ready and had none

The shares add up to 1. A critic's waiting does not count: it has nothing to do for most of any run. A round is counted from the end of the
round before, so that its shares hold the credit and the policy update that it waited for. Policy updates count as adapting.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from protocol.jobs import Role
from seal_runtime.controller.commands import Command, WriteMetrics
from seal_runtime.controller.meter import AgentSeconds, Meter
from seal_runtime.controller.workflow import Workflow

ACTIVITIES: dict[Role, str] = {"proposer": "proposing", "trainer": "adapting", "evaluator": "evaluating", "critic": "credit"}
WAITING = "waiting"


class TimeShares:
    """Remembers where the agents' seconds stood when each study began."""

    def __init__(self, meter: Meter, workflow: Workflow) -> None:
        self._meter = meter
        self._workflow = workflow
        self._num_known = 0
        self._begun: dict[str, AgentSeconds] = {}
        self._round_ended: AgentSeconds | None = None

    def complete(self, commands: Iterable[Command]) -> list[Command]:
        """Fill in the shares of the studies that ended; take note of those that began. Call after every step of the workflow."""
        completed = [self._completed(command) if isinstance(command, WriteMetrics) else command for command in commands]
        for name in islice(self._workflow.studies, self._num_known, None):
            self._begun[name] = self._meter.seconds()
        self._num_known = len(self._workflow.studies)
        return completed

    def _completed(self, metrics: WriteMetrics) -> WriteMetrics:
        now = self._meter.seconds()
        begun = self._begun.pop(metrics.study, None)
        if metrics.purpose == "reward":
            begun, self._round_ended = self._round_ended or begun, now
        return replace(metrics, time_shares=shares_of(now.since(begun) if begun is not None else now))


def shares_of(seconds: AgentSeconds) -> dict[str, float] | None:
    """Return the shares of agent-seconds by activity, None when there were none."""
    waiting = sum(max(0.0, seconds.present[role] - seconds.busy[role]) for role in ACTIVITIES if role != "critic")
    total = waiting + sum(seconds.busy.values())
    if total <= 0:
        return None
    return {ACTIVITIES[role]: seconds.busy[role] / total for role in ACTIVITIES} | {WAITING: waiting / total}
