"""Small plans for tests: a topology, a workload of two kinds of edits, and service times that one can reckon with."""

from protocol.jobs import Role
from seal_runtime.bench.gpus import gpu_named
from seal_runtime.config.topology import Topology
from seal_runtime.engines.capacity import ModelShape
from seal_runtime.planning.fleet import Fleet, gpu_needs
from seal_runtime.planning.made_up_task import MadeUpTask, TaskShape
from seal_runtime.planning.model_facts import ModelFacts
from seal_runtime.planning.processes import make_processes
from seal_runtime.planning.roofline import Roofline
from seal_runtime.planning.service import Service, ServiceTimes
from seal_runtime.planning.simulation import Conditions, Simulation
from seal_runtime.planning.step_cost import StepCost
from seal_runtime.planning.workload import EditProfile, Workload

SLOTS = 4


def cost(fixed: float, unit: float) -> StepCost:
    """Return a cost without floor."""
    return StepCost(fixed_seconds=fixed, floor_seconds=0.0, unit_seconds=unit, job_seconds=0.0, source="test")


def topology(**sections: dict[str, object]) -> Topology:
    """Return two rounds of six contexts with two edits and two replicates; sections override."""
    base: dict[str, dict[str, object]] = {
        "run": {"name": "planned", "rounds": 2},
        "algorithm": {"contexts_per_round": 6, "edits_per_context": 2, "replicates": 2},
        "evaluation": {"num_contexts": 3, "edits_per_context": 1},
        "trainer": {"max_concurrent_adapters": SLOTS},
    }
    return Topology.model_validate({**base, **{name: {**base.get(name, {}), **values} for name, values in sections.items()}})


def workload() -> Workload:
    """Return edits of two and of eight sequences."""
    return Workload(
        profiles=(EditProfile(written_tokens=20, lengths=(10, 30)), EditProfile(written_tokens=80, lengths=(10,) * 8)),
        passage_tokens=30,
        question_counts=(3, 5),
        prompt_tokens=100,
        question_tokens=20,
        answer_tokens=4,
        source="test",
    )


def times() -> ServiceTimes:
    """Return service times of hundredths of seconds a step."""
    costs: dict[Role, StepCost] = {
        "proposer": cost(0.01, 0.001),
        "trainer": cost(0.02, 0.001),
        "evaluator": cost(0.01, 0.001),
        "critic": cost(0.1, 0.0),
    }
    return ServiceTimes(
        costs=costs,
        pair_units=0.0,
        policy_factor=1.0,
        proposer_token_seconds=0.0,
        evaluator_token_seconds=0.0,
        adapter_load_seconds=0.0,
        startup_seconds=20.0,
    )


def simulation(
    chosen: Topology, fleet: Fleet, *, mtbf_hours: float | None = None, slow_share: float = 0.0, controller_seconds: float = 0.0005
) -> Simulation:
    """Return a simulation that has not begun."""
    task = MadeUpTask(
        TaskShape(num_contexts={"reward": 6, "validation": 0, "test": 3}, has_scripted=True, num_retention=50),
        workload().question_counts,
        len(workload().profiles),
    )
    processes = make_processes(chosen, fleet, gpu_needs(chosen), times().costs, SLOTS, slow_share=slow_share)
    conditions = Conditions(mtbf_hours=mtbf_hours, controller_seconds=controller_seconds, startup_seconds=20.0)
    return Simulation(chosen, task, Service(chosen, workload(), times()), processes, conditions)


def facts(**changes: object) -> ModelFacts:
    """Return a model of a billion weights in bfloat16."""
    values: dict[str, object] = {
        "name": "made-up",
        "shape": ModelShape(num_layers=10, hidden_size=1000, intermediate_size=4000, vocab_size=50_000, bytes_a_number=2),
        "num_weights": 1_000_000_000,
        "linear_weights": 1_000_000_000,
        "attention_width": 10_000,
        "context_length": 4096,
        "cache_bytes": 40_000,
        "inner_weights": 1_000_000,
        "policy_weights": 10_000_000,
        "large_weights": 10_000_000,
        "rank_weights": 100_000,
    }
    return ModelFacts(**{**values, **changes})  # type: ignore[arg-type]


def roofline() -> Roofline:
    """Return the billion weights on an H200 at half its peak."""
    return Roofline(facts=facts(), gpu=gpu_named("H200"), efficiency=0.5)
