"""Put a plan together: figures, memory, and the simulated fleets of every size."""

from collections.abc import Callable

from protocol.jobs import Role
from seal_runtime.config.topology import Topology
from seal_runtime.errors import ConfigError
from seal_runtime.planning.comparison import compare
from seal_runtime.planning.fleet import Fleet, best_fleets, fleet_of, gpu_needs
from seal_runtime.planning.made_up_task import task_shape
from seal_runtime.planning.memory import memory_of
from seal_runtime.planning.outcome import FleetOutcome, PlanOutcome
from seal_runtime.planning.request import PlanRequest
from seal_runtime.planning.sources import ENGINE_ROLES, collect
from seal_runtime.planning.trial import MAX_JOBS, Stage, demand, outcome_of, simulate, with_failures

MAX_JOBS_OF_A_ROUND = 40_000
"""Larger rounds are simulated with fewer contexts."""
MAX_JOBS_TO_TRY = 10_000
"""Above it one split of a size is simulated and not several."""

Tell = Callable[[str], None]


def make_plan(request: PlanRequest, tell: Tell) -> PlanOutcome:
    """Return the plan. Raises ConfigError, DataError or LedgerError for what cannot be planned."""
    figures = collect(request)
    topology, round_scale, note = shortened(request.topology)
    shape = task_shape(request.topology)
    stage = Stage(
        request=request, topology=topology, figures=figures, shape=shape, needs=gpu_needs(request.topology), round_scale=round_scale
    )
    tell("simulating the topology as it is written")
    written = fleet_of(topology)
    _check_fleet(written)
    first = simulate(stage, written, mtbf_hours=None)
    outcomes = [with_failures(stage, written, outcome_of(stage, written, first, as_written=True))]
    work = demand(stage, first)
    for size in request.sizes:
        tell(f"simulating {size:,} {stage.needs.unit}")
        found = _best(stage, size, work, num_jobs=outcomes[0].num_jobs)
        outcomes += [found] if found.split != outcomes[0].split else []
    workload = figures.workload
    return PlanOutcome(
        topology=request.title,
        model=figures.facts.name,
        gpu=request.gpu.name if request.gpu is not None else None,
        unit=stage.needs.unit,
        workload=workload.source,
        sequences_an_edit=workload.sequences_an_edit,
        tokens_an_edit=workload.tokens_an_edit,
        costs={role: figures.times.costs[role] for role in ENGINE_ROLES},
        seconds_full={role: _full_seconds(role, stage, work, first.timeline.jobs) for role in ENGINE_ROLES},
        memory=memory_of(request.topology, figures.facts, workload, request.gpu_bytes) if request.gpu is not None else (),
        fleets=tuple(outcomes),
        comparison=compare(request.run_dir, stage) if request.run_dir is not None else None,
        assumptions=(*figures.assumptions, *((note,) if note else ()), *first.notes),
    )


def shortened(topology: Topology) -> tuple[Topology, float, str]:
    """Return the topology that is simulated, how much smaller its rounds are, and the words for it ("" for the whole run)."""
    algorithm, rounds = topology.algorithm, topology.run.rounds
    jobs = _jobs_of_a_round(topology)
    kept = max(min(rounds, 1 + algorithm.max_policy_lag), min(rounds, MAX_JOBS // jobs))
    contexts = algorithm.contexts_per_round
    if kept and jobs > MAX_JOBS_OF_A_ROUND:
        contexts = max(1, contexts * MAX_JOBS_OF_A_ROUND // jobs)
    if kept == rounds and contexts == algorithm.contexts_per_round:
        return topology, 1.0, ""
    run = topology.run.model_copy(update={"rounds": kept})
    smaller = topology.model_copy(update={"run": run, "algorithm": algorithm.model_copy(update={"contexts_per_round": contexts})})
    words = f"simulated are {kept} of {rounds} rounds"
    if contexts != algorithm.contexts_per_round:
        words += f" with {contexts:,} of {algorithm.contexts_per_round:,} contexts, and the times of a round scaled up"
    return smaller, algorithm.contexts_per_round / contexts, words


def _jobs_of_a_round(topology: Topology) -> int:
    algorithm, evaluation = topology.algorithm, topology.evaluation
    reward = algorithm.contexts_per_round * (1 + 2 * algorithm.edits_per_context * algorithm.replicates)
    return reward + evaluation.num_contexts * (1 + 2 * evaluation.edits_per_context) // evaluation.every_rounds


def _check_fleet(fleet: Fleet) -> None:
    for name, count in (("proposer", fleet.proposers), ("trainer", fleet.trainers), ("evaluator", fleet.evaluators)):
        if count < 1:
            raise ConfigError(f"{name}.count: expected at least 1 to plan a run with, got {count}")


def _best(stage: Stage, size: int, work: dict[Role, float], *, num_jobs: int) -> FleetOutcome:
    """Return the outcome of the best of a few splits of a size. Raises ConfigError for one with fewer GPUs than roles."""
    is_shared = stage.topology.evaluator.share_engine
    fleets = best_fleets(size, stage.needs, work, is_shared=is_shared)
    if num_jobs > MAX_JOBS_TO_TRY:
        fleets = fleets[:1]
    outcomes = [outcome_of(stage, fleet, simulate(stage, fleet, mtbf_hours=None), as_written=False) for fleet in fleets]
    best = max(range(len(fleets)), key=lambda index: outcomes[index].edits_per_hour)
    return with_failures(stage, fleets[best], outcomes[best])


def _full_seconds(role: Role, stage: Stage, work: dict[Role, float], jobs: dict[str, int]) -> float:
    """Return what a job of a role takes an engine that is full."""
    count = {"proposer": jobs["propose"], "trainer": jobs["adapt"] + jobs["policy"], "evaluator": jobs["evaluate"]}.get(role, 0)
    return work[role] / stage.needs.per_process[role] / count if count else 0.0
