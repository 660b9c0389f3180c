"""Collect the figures of a plan, the most trusted first: a run, benchmark files, the roofline. Each says where it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from protocol.jobs import Role
from seal_runtime.bench.edits import BenchEdit, edits_from_file
from seal_runtime.config.engine_sharing import host_section
from seal_runtime.config.topology import Topology
from seal_runtime.errors import ConfigError, LedgerError
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.planning.measured_files import measured_costs
from seal_runtime.planning.memory import trainer_capacity
from seal_runtime.planning.model_facts import ModelFacts, model_facts
from seal_runtime.planning.request import PlanRequest
from seal_runtime.planning.roofline import ADAPTER_LOAD_SECONDS, Roofline
from seal_runtime.planning.run_times import RunTimes, run_times
from seal_runtime.planning.service import ServiceTimes
from seal_runtime.planning.step_cost import StepCost
from seal_runtime.planning.workload import EditProfile, Workload, default_workload, tokens_of
from seal_runtime.store.run_directory import RunDirectory

ENGINE_ROLES: tuple[Role, ...] = ("proposer", "trainer", "evaluator")
_ALL_EDITS = 1 << 30
_START_SECONDS, _READ_BYTES_A_SECOND = 30.0, 1e9
_CREDIT_SECONDS = 0.1
_SLOTS_ON_CPU = 16
_TASKS_LIKE_PUBLISHED = ("squad", "fictional")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that a simulation needs; `assumptions` are what was neither measured nor computed."""

    facts: ModelFacts
    workload: Workload
    times: ServiceTimes
    trainer_slots: int
    assumptions: tuple[str, ...]


def collect(request: PlanRequest) -> Figures:
    """Return the figures. Raises ConfigError, DataError or LedgerError for what cannot be had."""
    topology = request.topology
    facts = model_facts(topology, _dtype(topology, on_gpu=request.gpu is not None))
    slots = _trainer_slots(request, facts)
    run = _run(request, slots)
    files = _files(request)
    roofline = None if request.gpu is None else Roofline(facts=facts, gpu=request.gpu, efficiency=request.efficiency)
    costs = {role: _cost(role, topology, run, files, roofline) for role in ENGINE_ROLES}
    credit = run.credit_seconds if run is not None else _CREDIT_SECONDS
    costs["critic"] = StepCost(fixed_seconds=credit, floor_seconds=0.0, unit_seconds=0.0, job_seconds=0.0, source="")
    startup = _START_SECONDS + facts.weight_bytes / _READ_BYTES_A_SECOND
    times = ServiceTimes(
        costs=costs,
        pair_units=roofline.pair_units if roofline is not None and costs["trainer"].source == roofline.source else 0.0,
        policy_factor=run.policy_factor if run is not None else _policy_factor(facts),
        proposer_token_seconds=_reading(topology, "proposer", costs, roofline),
        evaluator_token_seconds=_reading(topology, "evaluator", costs, roofline),
        adapter_load_seconds=ADAPTER_LOAD_SECONDS if roofline is not None and costs["evaluator"].source == roofline.source else 0.0,
        startup_seconds=startup,
    )
    workload = _workload(request, run)
    return Figures(
        facts=facts, workload=workload, times=times, trainer_slots=slots, assumptions=tuple(_assumptions(request, startup, times))
    )


def _dtype(topology: Topology, *, on_gpu: bool) -> str:
    if topology.model.dtype != "auto":
        return topology.model.dtype
    return "bfloat16" if on_gpu else "float32"


def _trainer_slots(request: PlanRequest, facts: ModelFacts) -> int:
    asked = request.topology.trainer.max_concurrent_adapters
    if asked != "auto":
        return asked
    if request.gpu is None:
        return _SLOTS_ON_CPU
    return trainer_capacity(request.topology, facts, request.gpu_bytes).num_slots


def _run(request: PlanRequest, slots: int) -> RunTimes | None:
    if request.run_dir is None:
        return None
    paths = RunDirectory(request.run_dir)
    with LedgerReader(paths.ledger) as ledger:
        found = run_times(request.topology, ledger, slots, request.run_dir.name)
    if found is None:
        raise LedgerError(f"expected a run with finished inner loops in {request.run_dir}, it has none yet; let it go on for a while")
    return found


def _files(request: PlanRequest) -> dict[Role, StepCost]:
    topology = request.topology
    engines: dict[Role, str] = {"proposer": topology.proposer.engine, "evaluator": topology.evaluator.engine}
    costs: dict[Role, StepCost] = {}
    for path in request.measured:
        costs |= measured_costs(path, topology.model.path, engines)
    return costs


def _cost(role: Role, topology: Topology, run: RunTimes | None, files: dict[Role, StepCost], roofline: Roofline | None) -> StepCost:
    if run is not None and role in run.costs:
        return run.costs[role]
    if role in files:
        return files[role]
    if roofline is None:
        raise ConfigError(
            f"expected service times for the {role}, got none: the topology has no GPUs, and of a CPU nothing can be computed; name a run "
            "with the same model (--from RUN) or benchmark files (--measured FILE), or a GPU to plan it for (--gpu H200)"
        )
    if role == "trainer":
        return roofline.training(recomputes=topology.trainer.activation_checkpointing)
    return roofline.generation(topology.agents(role).gpus_per_agent)


def _reading(topology: Topology, role: Role, costs: dict[Role, StepCost], roofline: Roofline | None) -> float:
    """Return what a token of a prompt takes; measured costs hold it already."""
    if roofline is None or costs[role].source != roofline.source:
        return 0.0
    return roofline.reading_seconds(1, topology.agents(role).gpus_per_agent)


def _policy_factor(facts: ModelFacts) -> float:
    inner, policy = (4.0 * facts.linear_weights + 6.0 * weights for weights in (facts.inner_weights, facts.policy_weights))
    return policy / inner


def _workload(request: PlanRequest, run: RunTimes | None) -> Workload:
    if request.edits_file is not None:
        return workload_of(edits_from_file(request.edits_file, _ALL_EDITS), request.edits_file)
    if run is not None:
        return run.workload
    if request.topology.task.name not in _TASKS_LIKE_PUBLISHED:
        raise ConfigError(
            f"expected the self-edits of task {request.topology.task.name}, got none: the published ones, which stand in for others, "
            "are about passages; name a run of this task (--from RUN) or a file with self-edits (--edits FILE)"
        )
    return default_workload()


def workload_of(edits: Sequence[BenchEdit], path: Path) -> Workload:
    """Return the workload of a file with self-edits; the last training sequence of each is its passage."""
    lengths = [tuple(tokens_of(len(sequence.completion)) for sequence in edit.sequences) for edit in edits]
    questions = [question for edit in edits for question in edit.questions]
    passage = round(sum(each[-1] for each in lengths) / len(lengths))
    return replace(
        default_workload(),
        profiles=tuple(EditProfile(written_tokens=max(1, sum(each[:-1])), lengths=each) for each in lengths),
        passage_tokens=passage,
        question_counts=tuple(len(edit.questions) for edit in edits),
        question_tokens=round(sum(tokens_of(len(question.prompt)) for question in questions) / len(questions)),
        source=f"{len(edits):,} self-edits of {path.name}, 4.3 characters a token",
    )


def _assumptions(request: PlanRequest, startup: float, times: ServiceTimes) -> list[str]:
    lines = ["agents' speeds differ by 5 % (standard deviation)"]
    if request.slow_share:
        lines[0] += f", {100 * request.slow_share:g} % of them take twice as long"
    lines.append(f"the controller takes {request.controller_rate:,.0f} results a second (docs/performance.md), a message 1 ms")
    if request.mtbf_hours:
        lines.append(
            f"a GPU fails every {request.mtbf_hours:,.0f} hours; its process is back {startup:.0f} s later "
            "(30 s, and 1 GB of weights a second)"
        )
    if any(cost.source.startswith("roofline") for cost in times.costs.values()):
        lines.append(
            "not in the roofline: loading a new policy version into the engines, tokenising, graders that are not on this host, networks"
        )
    sections = [request.topology.trainer, host_section(request.topology, "proposer")]
    sections += [] if request.topology.evaluator.share_engine else [request.topology.evaluator]
    gpus = [gpu for section in sections for gpu in section.gpus]
    if len(gpus) > len(set(gpus)):
        lines.append("processes of several roles have one GPU: in memory they are added up, in time each is taken to have it for itself")
    if request.run_dir is None:
        lines.append(f"credit takes {_CREDIT_SECONDS:g} s, an answer has 8 tokens")
    return lines
