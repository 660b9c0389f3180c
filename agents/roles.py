"""Put a role together: its engine, task or algorithm, as the topology says. Model libraries are loaded here and not before."""

from agents.critic import Critic
from agents.evaluator import Evaluator
from agents.grading import Grade, GradingPool
from agents.policies import PolicyResolver
from agents.proposer import Proposer
from agents.trainer import Trainer
from agents.worker import Worker
from protocol.jobs import Role
from seal_runtime.algorithms.registry import make_algorithm
from seal_runtime.config.chat import speaks_chat
from seal_runtime.config.engine_sharing import SHARING_ROLES, EngineSettings, engine_settings, host_section
from seal_runtime.config.topology import Topology
from seal_runtime.engines.base import AdaptEngine, GenerationEngine
from seal_runtime.engines.factory import make_adapt_engine, make_generation_engine
from seal_runtime.engines.shared import SharedEngine
from seal_runtime.errors import ConfigError
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.tasks.registry import make_task

_GRADING_THREADS = 8


def make_workers(roles: tuple[Role, ...], topology: Topology, *, store: AdapterStore, gpus: tuple[int, ...]) -> tuple[Worker, ...]:
    """Make the workers of a process, on one engine when there are two roles; loads the model. Raises SealError, and whatever a model
    library raises.
    """
    if len(roles) == 1:
        return (make_worker(roles[0], topology, store=store, gpus=gpus),)
    if roles != SHARING_ROLES:
        raise ConfigError(f"expected one role or {'+'.join(SHARING_ROLES)}, got {'+'.join(roles)}: only these two share an engine")
    shared = SharedEngine(_generation_engine(topology, roles, gpus))
    policies = PolicyResolver(store)
    return _proposer(topology, shared.seat("proposer"), policies), _evaluator(topology, shared.seat("evaluator"), policies, store)


def make_worker(role: Role, topology: Topology, *, store: AdapterStore, gpus: tuple[int, ...], grade: Grade | None = None) -> Worker:
    """Make a role's worker; loads the model. An evaluator grades as its task does, or with `grade`.

    Raises SealError, and whatever a model library raises.
    """
    policies = PolicyResolver(store)
    match role:
        case "proposer":
            return _proposer(topology, _generation_engine(topology, (role,), gpus), policies)
        case "trainer":
            return Trainer(engine=_adapt_engine(topology, device_of(role, topology, gpus)), policies=policies, store=store)
        case "evaluator":
            return _evaluator(topology, _generation_engine(topology, (role,), gpus), policies, store, grade)
        case "critic":
            return Critic(algorithm=make_algorithm(topology.algorithm))


def device_of(role: Role, topology: Topology, gpus: tuple[int, ...]) -> str:
    """Return torch's device: GPUs when they were asked for on the command line or in the topology, else the CPU."""
    return "cuda" if gpus or host_section(topology, role).gpus else "cpu"


def dtype_of(topology: Topology, device: str) -> str:
    """Return the precision of the frozen base: `auto` is float32 on CPU and bfloat16 on CUDA."""
    if topology.model.dtype != "auto":
        return topology.model.dtype
    return "float32" if device == "cpu" else "bfloat16"


def _proposer(topology: Topology, engine: GenerationEngine, policies: PolicyResolver) -> Proposer:
    return Proposer(engine=engine, policies=policies, capacity=topology.proposer.max_concurrent_jobs)


def _evaluator(
    topology: Topology, engine: GenerationEngine, policies: PolicyResolver, store: AdapterStore, grade: Grade | None = None
) -> Evaluator:
    task = make_task(topology.task)
    graders = GradingPool(
        grade or task.grade,
        num_threads=_grading_threads(topology),
        timeout_seconds=topology.limits.job_timeout_seconds,
        task_score=getattr(task, "score", None),
        on_close=getattr(task, "close", None),
    )
    capacity = topology.evaluator.max_concurrent_jobs
    return Evaluator(engine=engine, policies=policies, store=store, graders=graders, capacity=capacity)


def _generation_engine(topology: Topology, roles: tuple[Role, ...], gpus: tuple[int, ...]) -> GenerationEngine:
    settings = engine_settings(topology, roles)
    device = device_of(roles[0], topology, gpus)
    return make_generation_engine(
        settings.engine,
        model=topology.model.path,
        dtype=dtype_of(topology, device),
        device=device,
        revision=topology.model.revision,
        chat=speaks_chat(topology.model),
        parse_special_tokens=topology.model.parse_special_tokens,
        threads=settings.host.threads,
        mode=settings.mode,
        engine_args=_with_devices(settings),
    )


def _grading_threads(topology: Topology) -> int:
    """Return how many answers are graded at once; those of a judge wait for it nearly all the time."""
    return max(_GRADING_THREADS, topology.task.judge.max_concurrent) if topology.task.grader == "judge" else _GRADING_THREADS


def _with_devices(settings: EngineSettings) -> dict[str, str | int | float | bool]:
    """Return the engine's arguments; vLLM spreads over the devices that the process sees unless they say otherwise."""
    if settings.engine != "vllm" or settings.host.gpus_per_agent == 1:
        return settings.args
    return {"tensor_parallel_size": settings.host.gpus_per_agent, **settings.args}


def _adapt_engine(topology: Topology, device: str) -> AdaptEngine:
    trainer = topology.trainer
    return make_adapt_engine(
        trainer.engine,
        model=topology.model.path,
        dtype=dtype_of(topology, device),
        device=device,
        revision=topology.model.revision,
        chat=speaks_chat(topology.model),
        parse_special_tokens=topology.model.parse_special_tokens,
        num_slots=trainer.max_concurrent_adapters,
        lora=trainer.lora.spec(),
        large_adapters=topology.large_adapters(),
        max_tokens_per_step=trainer.max_tokens_per_step,
        loss_chunk_tokens=trainer.chunk_tokens,
        activation_checkpointing=trainer.activation_checkpointing,
        threads=trainer.threads,
    )
