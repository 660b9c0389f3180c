"""What happened when in a simulated run: rounds, studies, and how long each stage of a self-edit took."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from protocol.jobs import ROLES, Role
from seal_runtime.controller.commands import LogEvent, WriteMetrics
from seal_runtime.ledger.records import ResultRecord
from seal_runtime.planning.batch_server import EngineJob
from seal_runtime.planning.step_cost import StepCost


@dataclass(slots=True, kw_only=True)
class RoleWork:
    """What was asked of a role's engines: steps, rows over all steps, and seconds with an engine for a job alone."""

    steps: int = 0
    rows: float = 0.0
    lead_seconds: float = 0.0

    def add(self, job: EngineJob) -> None:
        """Count a job."""
        self.steps += job.num_steps
        self.rows += job.work
        self.lead_seconds += job.lead_seconds


@dataclass(slots=True, kw_only=True)
class Timeline:
    """Filled by the simulation. Times are seconds since its start."""

    opened_at: dict[str, float] = field(default_factory=dict)
    closed_at: dict[str, float] = field(default_factory=dict)
    updated_at: dict[int, float] = field(default_factory=dict)
    scored: dict[str, int] = field(default_factory=dict)
    jobs: Counter[str] = field(default_factory=Counter)
    stage_seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    work: dict[Role, RoleWork] = field(default_factory=lambda: {role: RoleWork() for role in ROLES})
    alone_seconds: dict[str, float] = field(default_factory=dict)
    num_invalid: int = 0
    num_set_aside: int = 0
    num_failures: int = 0
    ended_at: float = 0.0

    @property
    def num_scored(self) -> int:
        """Return the scored self-edits of all studies."""
        return sum(self.scored.values())

    def committed(self, record: ResultRecord, now: float) -> None:
        """Note a result."""
        self.ended_at = now
        self.jobs[record.key.stage] += 1
        self.stage_seconds[record.key.stage].append(record.duration_seconds)

    def began(self, stage: str, role: Role, job: EngineJob, cost: StepCost, *, in_round: bool) -> None:
        """Note what an engine has to do; of the jobs of rounds the longest of each stage, alone at work, is kept."""
        self.work[role].add(job)
        if in_round:
            self.alone_seconds[stage] = max(job.alone_seconds(cost), self.alone_seconds.get(stage, 0.0))

    def closed(self, metrics: WriteMetrics, now: float) -> None:
        """Note the end of a study."""
        self.closed_at[metrics.study] = now
        self.scored[metrics.study] = metrics.num_scored
        self.num_invalid += metrics.num_invalid

    def logged(self, event: LogEvent, now: float) -> None:
        """Note the beginning of a study, or a policy update."""
        if event.name == "study_opened":
            self.opened_at[str(event.fields["study"])] = now
        else:
            self.updated_at[int(event.fields["round"] or 0)] = now

    def round_seconds(self) -> list[float]:
        """Return, for each round, the time from the policy before to its own; with a policy lag rounds overlap, so this is their pace."""
        ends = [0.0, *(self.updated_at[number] for number in sorted(self.updated_at))]
        return [end - start for start, end in pairwise(ends)]

    def update_seconds(self) -> list[float]:
        """Return, for each round, the time from its last score to its policy."""
        return [at - self.closed_at[f"round-{number}"] for number, at in sorted(self.updated_at.items())]
