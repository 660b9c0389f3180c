"""Put a role together: its engine, task or algorithm, as the topology says. Model libraries are loaded here and not before."""

from agents.critic import Critic
from agents.evaluator import Evaluator
from agents.grading import GradingPool
from agents.policies import PolicyResolver
from agents.proposer import Proposer
from agents.trainer import Trainer
from agents.worker import Worker
from protocol.jobs import Role
from seal_runtime.algorithms.registry import make_algorithm
from seal_runtime.config.agents import EvaluatorConfig, ProposerConfig
from seal_runtime.config.topology import Topology
from seal_runtime.engines.base import AdaptEngine, GenerationEngine
from seal_runtime.engines.factory import make_adapt_engine, make_generation_engine
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.tasks.registry import make_task

_GRADING_THREADS = 8


def make_worker(role: Role, topology: Topology, *, store: AdapterStore, gpus: tuple[int, ...]) -> Worker:
    """Make a role's worker; loads the model. Raises SealError, and whatever a model library raises."""
    policies = PolicyResolver(store)
    device = device_of(role, topology, gpus)
    match role:
        case "proposer":
            capacity = topology.proposer.max_concurrent_jobs
            return Proposer(engine=_generation_engine(topology, topology.proposer, device), policies=policies, capacity=capacity)
        case "trainer":
            return Trainer(engine=_adapt_engine(topology, device), policies=policies, store=store)
        case "evaluator":
            grade = make_task(topology.task).grade
            engine = _generation_engine(topology, topology.evaluator, device)
            graders = GradingPool(grade, num_threads=_GRADING_THREADS, timeout_seconds=topology.limits.job_timeout_seconds)
            capacity = topology.evaluator.max_concurrent_jobs
            return Evaluator(engine=engine, policies=policies, store=store, graders=graders, capacity=capacity)
        case "critic":
            return Critic(algorithm=make_algorithm(topology.algorithm))


def device_of(role: Role, topology: Topology, gpus: tuple[int, ...]) -> str:
    """Return torch's device: GPUs when they were asked for on the command line or in the topology, else the CPU."""
    return "cuda" if gpus or topology.agents(role).gpus else "cpu"


def dtype_of(topology: Topology, device: str) -> str:
    """Return the precision of the frozen base: `auto` is float32 on CPU and bfloat16 on CUDA."""
    if topology.model.dtype != "auto":
        return topology.model.dtype
    return "float32" if device == "cpu" else "bfloat16"


def _generation_engine(topology: Topology, section: ProposerConfig | EvaluatorConfig, device: str) -> GenerationEngine:
    return make_generation_engine(
        section.engine,
        model=topology.model.path,
        dtype=dtype_of(topology, device),
        device=device,
        revision=topology.model.revision,
        threads=section.threads,
        engine_args=section.engine_args,
    )


def _adapt_engine(topology: Topology, device: str) -> AdaptEngine:
    trainer = topology.trainer
    return make_adapt_engine(
        trainer.engine,
        model=topology.model.path,
        dtype=dtype_of(topology, device),
        device=device,
        revision=topology.model.revision,
        num_slots=trainer.max_concurrent_adapters,
        lora=trainer.lora.spec(),
        max_tokens_per_step=trainer.max_tokens_per_step,
        threads=trainer.threads,
    )
