"""What a plan says, as data. Seconds are virtual ones, of the simulated run."""

import json
from dataclasses import asdict, dataclass

from seal_runtime.planning.memory import ProcessMemory
from seal_runtime.planning.step_cost import StepCost


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleUse:
    """How the processes of a role spend their time: the share with any job at work, and the mean number of jobs at work then."""

    role: str
    num_processes: int
    num_slots: int
    busy_share: float
    jobs_at_once: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCost:
    """The same run with deaths: how many processes died, how much longer it takes, and what was lost for good (set aside)."""

    num_deaths: int
    seconds: float
    extra_share: float
    num_scored: int
    num_lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOutcome:
    """One size of the fleet, simulated. `longest_chain_seconds` is what the longest self-edit takes when nothing else is at work, with
    the policy update; a round cannot be much shorter. `failures` is None where no death is to be expected in so short a run.
    """

    num_gpus: int
    split: str
    as_written: bool
    edits_per_hour: float
    inner_loops_per_hour: float
    seconds: float
    round_seconds: float
    update_seconds: float
    longest_chain_seconds: float
    num_scored: int
    num_jobs: int
    controller_share: float
    roles: tuple[RoleUse, ...]
    deaths_per_day: float
    bottleneck: str
    failures: FailureCost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The run that the service times come from against the simulation of its own topology."""

    run: str
    measured_edits_per_hour: float
    predicted_edits_per_hour: float
    measured_busy: dict[str, float]
    predicted_busy: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutcome:
    """The whole plan. `seconds_full` is what a job takes an engine that is full; `assumptions` were neither measured nor computed."""

    topology: str
    model: str
    gpu: str | None
    unit: str
    workload: str
    sequences_an_edit: float
    tokens_an_edit: float
    costs: dict[str, StepCost]
    seconds_full: dict[str, float]
    memory: tuple[ProcessMemory, ...]
    fleets: tuple[FleetOutcome, ...]
    comparison: Comparison | None
    assumptions: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Say whether every process fits into its GPUs."""
        return all(process.fits for process in self.memory)

    def to_json(self) -> str:
        """Return indented JSON."""
        return json.dumps(asdict(self), indent=2)
