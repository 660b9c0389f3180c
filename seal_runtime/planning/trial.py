"""Simulate one fleet and say what came out."""

from dataclasses import dataclass, replace

from protocol.jobs import Role
from seal_runtime.config.topology import Topology
from seal_runtime.planning.bottleneck import bottleneck_of
from seal_runtime.planning.fleet import Fleet, GpuNeeds
from seal_runtime.planning.made_up_task import MadeUpTask, TaskShape
from seal_runtime.planning.outcome import FailureCost, FleetOutcome, RoleUse
from seal_runtime.planning.processes import make_processes
from seal_runtime.planning.request import PlanRequest
from seal_runtime.planning.service import Service
from seal_runtime.planning.simulation import Conditions, Simulation
from seal_runtime.planning.sources import ENGINE_ROLES, Figures

MAX_JOBS = 60_000
"""A simulated run is shortened to about so many jobs, or to one round. A longer one is simulated without deaths."""
_HOUR = 3600.0
_MIN_DEATHS = 0.1
"""A run in which fewer are to be expected is not simulated with deaths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What all fleets of a plan share. `round_scale` is how much larger a round of the topology is than a simulated one."""

    request: PlanRequest
    topology: Topology
    figures: Figures
    shape: TaskShape
    needs: GpuNeeds
    round_scale: float


def simulate(stage: Stage, fleet: Fleet, *, mtbf_hours: float | None) -> Simulation:
    """Run a fleet to its end and return the simulation. Raises ConfigError when the run fails."""
    figures, request = stage.figures, stage.request
    workload, times = figures.workload, figures.times
    task = MadeUpTask(stage.shape, workload.question_counts, len(workload.profiles))
    processes = make_processes(stage.topology, fleet, stage.needs, times.costs, figures.trainer_slots, slow_share=request.slow_share)
    conditions = Conditions(mtbf_hours=mtbf_hours, controller_seconds=1.0 / request.controller_rate, startup_seconds=times.startup_seconds)
    simulation = Simulation(stage.topology, task, Service(stage.topology, workload, times), processes, conditions)
    simulation.run()
    return simulation


def outcome_of(stage: Stage, fleet: Fleet, simulation: Simulation, *, as_written: bool) -> FleetOutcome:
    """Return the figures of a simulation without deaths."""
    timeline, num_gpus = simulation.timeline, stage.needs.total(fleet)
    rounds, updates = timeline.round_seconds(), timeline.update_seconds()
    seconds = timeline.ended_at
    found = FleetOutcome(
        num_gpus=num_gpus,
        split=fleet.describe(),
        as_written=as_written,
        edits_per_hour=_HOUR * timeline.num_scored / seconds,
        inner_loops_per_hour=_HOUR * timeline.jobs["adapt"] / seconds,
        seconds=seconds,
        round_seconds=stage.round_scale * sum(rounds) / len(rounds) if rounds else 0.0,
        update_seconds=sum(updates) / len(updates) if updates else 0.0,
        longest_chain_seconds=sum(timeline.alone_seconds.values()),
        num_scored=timeline.num_scored,
        num_jobs=sum(timeline.jobs.values()),
        controller_share=simulation.controller_busy_seconds / seconds,
        roles=tuple(_use(role, fleet, simulation) for role in ENGINE_ROLES),
        deaths_per_day=24.0 * num_gpus / stage.request.mtbf_hours if stage.request.mtbf_hours else 0.0,
        bottleneck="",
        failures=None,
    )
    return replace(found, bottleneck=bottleneck_of(found, stage.request.topology.algorithm))


def with_failures(stage: Stage, fleet: Fleet, calm: FleetOutcome) -> FleetOutcome:
    """Return the outcome with the cost of deaths: the same run once more, with them, where any are to be expected and it is not long."""
    if calm.num_jobs > MAX_JOBS or calm.deaths_per_day * calm.seconds < _MIN_DEATHS * 24 * _HOUR:
        return calm
    harsh = simulate(stage, fleet, mtbf_hours=stage.request.mtbf_hours)
    seconds = harsh.timeline.ended_at
    cost = FailureCost(
        num_deaths=harsh.num_deaths,
        seconds=seconds,
        extra_share=seconds / calm.seconds - 1.0,
        num_scored=harsh.timeline.num_scored,
        num_lost=harsh.timeline.num_invalid,
    )
    return replace(calm, failures=cost)


def demand(stage: Stage, simulation: Simulation) -> dict[Role, float]:
    """Return the GPU-seconds that each role needs for a run when its engines are always full."""
    found: dict[Role, float] = {}
    for role in ENGINE_ROLES:
        process = next(process for process in simulation.processes if role in process.agents)
        slots = stage.figures.trainer_slots if role == "trainer" else process.capacity[role]
        work, cost = simulation.timeline.work[role], stage.figures.times.costs[role]
        full = cost.seconds(work.rows / max(1, work.steps) * slots, slots) / slots
        found[role] = (work.steps * full + work.lead_seconds) * process.num_gpus
    return found


def _use(role: Role, fleet: Fleet, simulation: Simulation) -> RoleUse:
    seconds = simulation.timeline.ended_at
    members = [process for process in simulation.processes if role in process.agents]
    busy = sum(process.busy_seconds for process in members)
    return RoleUse(
        role=role,
        num_processes=fleet.count(role),
        num_slots=members[0].num_slots,
        busy_share=busy / (len(members) * seconds),
        jobs_at_once=sum(process.job_seconds for process in members) / busy if busy else 0.0,
    )
