"""What each process takes of its GPUs, by the trainer's own estimate (`engines.capacity`) and vLLM's way of dividing a GPU.

Everything is an estimate from shapes. vLLM takes its share whatever it needs, and what weights, adapters and activations leave of it is
room for keys and values; the transformers engine takes what its rows need.
"""

from dataclasses import dataclass

from protocol.jobs import Role
from seal_runtime.config.engine_sharing import SHARING_ROLES, engine_settings
from seal_runtime.config.topology import Topology
from seal_runtime.engines.capacity import Capacity, adapter_bytes, capacity_of
from seal_runtime.errors import ConfigError
from seal_runtime.planning.model_facts import ModelFacts
from seal_runtime.planning.workload import Workload

GIB = 1 << 30
CONTEXT_BYTES = GIB // 2
"""CUDA's own, and libraries'."""
VLLM_SHARE = 0.92
VLLM_BATCHED_TOKENS = 8192
VLLM_LORA_SLOTS, VLLM_LORA_RANK = 8, 128
"""The defaults of vLLM and of `engines.vllm_options` on a GPU."""
_ROWS = 512
_LOGIT_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPart:
    """A part of a process's memory on one of its GPUs, in bytes, and what it is."""

    name: str
    num_bytes: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessMemory:
    """The memory of one process of a role, on each of its GPUs. `advice` says what to change where it does not fit, "" where it does."""

    role: str
    gpus: tuple[int, ...]
    parts: tuple[MemoryPart, ...]
    available_bytes: int
    fits: bool
    advice: str

    @property
    def used_bytes(self) -> int:
        """Return the sum of the parts."""
        return sum(part.num_bytes for part in self.parts)


def trainer_capacity(topology: Topology, facts: ModelFacts, gpu_bytes: int) -> Capacity:
    """Return what the trainer will choose on a GPU of this size. Raises ConfigError when nothing fits."""
    trainer = topology.trainer
    return capacity_of(
        free_bytes=gpu_bytes - CONTEXT_BYTES - facts.weight_bytes,
        num_adapter_weights=facts.inner_weights,
        num_large_weights=facts.large_weights,
        shape=facts.shape,
        num_slots=0 if trainer.max_concurrent_adapters == "auto" else trainer.max_concurrent_adapters,
        max_tokens_per_step=trainer.max_tokens_per_step,
        loss_chunk_tokens=trainer.chunk_tokens,
        activation_checkpointing=trainer.activation_checkpointing,
    )


def memory_of(topology: Topology, facts: ModelFacts, workload: Workload, gpu_bytes: int) -> tuple[ProcessMemory, ...]:
    """Return the memory of a process of each role that has GPUs; roles that share an engine are one."""
    found = []
    if topology.evaluator.share_engine:
        if topology.proposer.gpus:
            found.append(_generator(topology, SHARING_ROLES, facts, workload, gpu_bytes))
    else:
        found += [_generator(topology, (role,), facts, workload, gpu_bytes) for role in SHARING_ROLES if topology.agents(role).gpus]
    if topology.trainer.gpus:
        beside = sum(other.used_bytes for other in found if set(other.gpus) & set(topology.trainer.gpus))
        found.append(_trainer(topology, facts, gpu_bytes, beside))
    return _with_neighbours(tuple(found))


def _trainer(topology: Topology, facts: ModelFacts, gpu_bytes: int, beside_bytes: int) -> ProcessMemory:
    """Return a trainer's memory; it takes what processes that came before it on its GPU (`beside_bytes`) have left."""
    base = MemoryPart(name="base weights", num_bytes=facts.weight_bytes, note=f"{facts.num_weights / 1e9:.2f} B weights")
    context = MemoryPart(name="CUDA", num_bytes=CONTEXT_BYTES, note="context and libraries")
    gpus = tuple(topology.trainer.gpus)
    try:
        capacity = trainer_capacity(topology, facts, gpu_bytes - beside_bytes)
    except ConfigError as error:
        return ProcessMemory(role="trainer", gpus=gpus, parts=(context, base), available_bytes=gpu_bytes, fits=False, advice=str(error))
    one, large = (adapter_bytes(weights, facts.shape.bytes_a_number) for weights in (facts.inner_weights, facts.large_weights))
    token = facts.shape.token_bytes(topology.trainer.activation_checkpointing)
    parts = (
        context,
        base,
        MemoryPart(
            name="adapters",
            num_bytes=max(capacity.num_slots * one, large),
            note=f"K = {capacity.num_slots} of {facts.inner_weights:,} weights, or one of {facts.large_weights:,} (policy update)",
        ),
        MemoryPart(
            name="activations",
            num_bytes=capacity.max_tokens_per_step * token,
            note=f"a step of {capacity.max_tokens_per_step:,} tokens at most",
        ),
        MemoryPart(
            name="logits",
            num_bytes=facts.shape.loss_bytes(capacity.loss_chunk_tokens),
            note=f"a chunk of {capacity.loss_chunk_tokens:,} positions",
        ),
    )
    return ProcessMemory(role="trainer", gpus=gpus, parts=parts, available_bytes=gpu_bytes, fits=True, advice="")


def _generator(topology: Topology, roles: tuple[Role, ...], facts: ModelFacts, workload: Workload, gpu_bytes: int) -> ProcessMemory:
    settings = engine_settings(topology, roles)
    make = _vllm if settings.engine == "vllm" else _transformers
    return make(topology, roles, facts, workload, gpu_bytes)


def _vllm(topology: Topology, roles: tuple[Role, ...], facts: ModelFacts, workload: Workload, gpu_bytes: int) -> ProcessMemory:
    settings = engine_settings(topology, roles)
    args, split = settings.args, settings.host.gpus_per_agent
    share = float(args.get("gpu_memory_utilization", VLLM_SHARE))
    longest = int(args.get("max_model_len", facts.context_length))
    slots = int(args.get("max_loras", VLLM_LORA_SLOTS)) if args.get("enable_lora", True) else 0
    rank = int(args.get("max_lora_rank", VLLM_LORA_RANK))
    rows = int(args.get("max_num_seqs", _ROWS))
    shape = facts.shape
    activations = VLLM_BATCHED_TOKENS * (4 * shape.hidden_size + 3 * shape.intermediate_size) * shape.bytes_a_number
    activations += rows * shape.vocab_size * _LOGIT_BYTES
    fixed = (
        MemoryPart(name="CUDA", num_bytes=CONTEXT_BYTES, note="context and libraries"),
        MemoryPart(name="base weights", num_bytes=facts.weight_bytes // split, note=_split_note(split)),
        MemoryPart(
            name="adapter slots",
            num_bytes=slots * rank * facts.rank_weights * shape.bytes_a_number // split,
            note=f"{slots} of rank {rank}",
        ),
        MemoryPart(name="activations", num_bytes=activations // split, note=f"{VLLM_BATCHED_TOKENS:,} tokens, {rows} rows of logits"),
    )
    cache = int(share * gpu_bytes) - sum(part.num_bytes for part in fixed)
    tokens = max(0, cache) * split // facts.cache_bytes
    text = _text_tokens(topology, roles, workload)
    note = f"{tokens:,} tokens: {tokens // max(1, text):,} texts of {text:,} at once"
    parts = (*fixed, MemoryPart(name="keys and values", num_bytes=max(0, cache), note=note))
    advice = ""
    if tokens < longest:
        where = "proposer" if "proposer" in roles else "evaluator"
        advice = (
            f"room for the keys and values of {tokens:,} tokens is left, one text may have {longest:,} (max_model_len): raise "
            f"{where}.engine_args.gpu_memory_utilization ({share:g}) or {where}.gpus_per_agent, or lower "
            "max_model_len, max_loras or max_lora_rank"
        )
    return ProcessMemory(
        role="+".join(roles), gpus=tuple(settings.host.gpus), parts=parts, available_bytes=gpu_bytes, fits=not advice, advice=advice
    )


def _transformers(topology: Topology, roles: tuple[Role, ...], facts: ModelFacts, workload: Workload, gpu_bytes: int) -> ProcessMemory:
    settings = engine_settings(topology, roles)
    rows = min(int(settings.args.get("max_batch_rows", _ROWS)), _rows_at_most(topology, roles, workload))
    text, shape = _text_tokens(topology, roles, workload), facts.shape
    parts = (
        MemoryPart(name="CUDA", num_bytes=CONTEXT_BYTES, note="context and libraries"),
        MemoryPart(name="base weights", num_bytes=facts.weight_bytes, note=_split_note(1)),
        MemoryPart(name="keys and values", num_bytes=rows * text * facts.cache_bytes, note=f"{rows} texts of {text:,} tokens"),
        MemoryPart(name="logits", num_bytes=rows * shape.vocab_size * _LOGIT_BYTES, note=f"{rows} rows"),
    )
    used = sum(part.num_bytes for part in parts)
    advice = ""
    if used > gpu_bytes:
        advice = f"{used / GIB:.1f} GiB are needed: lower engine_args.max_batch_rows (to less than {rows}), or set engine: vllm"
    return ProcessMemory(
        role="+".join(roles), gpus=tuple(settings.host.gpus), parts=parts, available_bytes=gpu_bytes, fits=not advice, advice=advice
    )


def _rows_at_most(topology: Topology, roles: tuple[Role, ...], workload: Workload) -> int:
    """Return how many texts can be at work at once: those of all jobs that the roles take."""
    edits = max(topology.algorithm.edits_per_context, topology.evaluation.edits_per_context)
    rows = topology.proposer.max_concurrent_jobs * edits if "proposer" in roles else 0
    return rows + (topology.evaluator.max_concurrent_jobs * max(workload.question_counts) if "evaluator" in roles else 0)


def _with_neighbours(found: tuple[ProcessMemory, ...]) -> tuple[ProcessMemory, ...]:
    """Say where processes of two roles lie on one GPU and need more than it has."""
    checked = []
    for mine in found:
        others = [other for other in found if other is not mine and set(other.gpus) & set(mine.gpus)]
        total = mine.used_bytes + sum(other.used_bytes for other in others)
        if mine.fits and others and total > mine.available_bytes:
            names = ", ".join(other.role for other in others)
            advice = (
                f"together with {names} on the same GPU {total / GIB:.1f} GiB are needed: give them GPUs of their own or lower their shares"
            )
            mine = ProcessMemory(
                role=mine.role, gpus=mine.gpus, parts=mine.parts, available_bytes=mine.available_bytes, fits=False, advice=advice
            )
        checked.append(mine)
    return tuple(checked)


def _text_tokens(topology: Topology, roles: tuple[Role, ...], workload: Workload) -> int:
    """Return the tokens of the longest usual text: a prompt with its self-edit, or a question with its answer."""
    proposal = workload.prompt_tokens + max(profile.written_tokens for profile in workload.profiles)
    answer = workload.question_tokens + topology.evaluator.max_new_tokens
    return max(proposal if "proposer" in roles else 0, answer if "evaluator" in roles else 0)


def _split_note(num_gpus: int) -> str:
    return "one copy" if num_gpus == 1 else f"one copy, split over {num_gpus} GPUs"
