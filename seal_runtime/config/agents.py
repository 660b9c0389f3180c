"""The topology's sections on agents: how many of a role, on which devices, and what each does its work with."""

from typing import Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from seal_runtime.config.hyperparameters import LoraConfig, OptimConfig, SamplingConfig
from seal_runtime.config.section import Section


class AgentConfig(Section):
    """What all roles have: how many and where."""

    count: int = Field(default=1, ge=0, le=4096)
    """Processes started by `launch`; more may attach later."""
    gpus: tuple[int, ...] = Field(default=(), strict=False)
    """Device indices, `gpus_per_agent` for each process in order, then spare ones for `seal-runtime scale`; empty means CPU."""
    gpus_per_agent: int = Field(default=1, ge=1)
    """Devices that one process sees (tensor parallelism)."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of each process (OMP and torch)."""


class ProposerConfig(AgentConfig):
    """Writes self-edits."""

    engine: Literal["transformers", "vllm", "fake"] = "transformers"
    """What generates."""
    max_concurrent_jobs: int = Field(default=16, ge=1, le=4096)
    """Contexts at work at once."""
    sampling: SamplingConfig = SamplingConfig()
    """How self-edits are drawn."""
    max_resamples: int = Field(default=0, ge=0, le=100)
    """How often a self-edit that cannot be parsed is drawn again. 0: it gets the lowest reward at once, and so does the last draw."""
    engine_mode: Literal["auto", "in-process", "async"] = "auto"
    """Engine vllm: `in-process` steps it on the agent's main thread, `async` runs it in a process of its own, so that scheduling and
    kernels do not wait for the agent; `auto` is async on GPUs and in-process on CPU."""
    engine_args: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Passed to the engine verbatim (vLLM's EngineArgs)."""


class TrainerConfig(AgentConfig):
    """Runs the inner loop, and the policy updates."""

    engine: Literal["batched", "fake"] = "batched"
    """What trains."""
    max_concurrent_adapters: int | Literal["auto"] = 16
    """Adapters K trained in one packed step, 1 to 4096; `auto` takes what fits into the GPU's free memory (16 on CPU)."""
    lora: LoraConfig = LoraConfig()
    """Adapter of a self-edit."""
    optim: OptimConfig = OptimConfig()
    """Optimiser of the inner loop."""
    pad_loss: str = Field(default="none", pattern=r"^(none|eos|full|sampled:[1-9][0-9]{0,3})$")
    """How much of the padding up to optim.max_length counts in the loss of the inner loop. `none`: the text alone; `eos`: one end token
    after it; `full`: all of it, as in the published code; `sampled:M`: M positions a text and step, equal to `full` in expectation."""
    max_tokens_per_step: int = Field(default=16_384, ge=64)
    """Bound on the tokens of one packed step, and so on memory. Longer steps are split; on a GPU it is lowered to what fits."""
    activation_checkpointing: bool = False
    """Keep only the input of each transformer block for the backward pass and compute the rest again there: a third more arithmetic, a
    fraction of the memory for activations, the same result. For large models on small GPUs."""
    loss_chunk_tokens: int | Literal["auto"] = "auto"
    """Positions whose logits over the whole vocabulary exist at once, 64 to 1048576; `auto`: what a quarter of a million logits hold on
    CPU, where they stay in its cache, and 128 million on a GPU, there at most a tenth of its free memory; never fewer than 64."""

    @field_validator("max_concurrent_adapters", mode="before")
    @classmethod
    def _check_adapters(cls, value: object) -> object:
        if value == "auto" or (type(value) is int and 1 <= value <= 4096):
            return value
        raise PydanticCustomError("auto_or_number", "auto or an integer from 1 to 4096")

    @property
    def chunk_tokens(self) -> int:
        """Return `loss_chunk_tokens` as engines take it: 0 for auto."""
        return 0 if self.loss_chunk_tokens == "auto" else self.loss_chunk_tokens

    @field_validator("loss_chunk_tokens", mode="before")
    @classmethod
    def _check_chunk(cls, value: object) -> object:
        if value == "auto" or (type(value) is int and 64 <= value <= 1_048_576):
            return value
        raise PydanticCustomError("auto_or_number", "auto or an integer from 64 to 1048576")


class EvaluatorConfig(AgentConfig):
    """Examines adapted models."""

    engine: Literal["transformers", "vllm", "fake"] = "transformers"
    """What generates."""
    max_concurrent_jobs: int = Field(default=32, ge=1, le=4096)
    """Adapters answered for at once."""
    max_new_tokens: int = Field(default=64, ge=1, le=8192)
    """Longest answer in tokens."""
    engine_mode: Literal["auto", "in-process", "async"] = "auto"
    """Engine vllm: `in-process` steps it on the agent's main thread, `async` runs it in a process of its own, so that scheduling and
    kernels do not wait for the agent; `auto` is async on GPUs and in-process on CPU."""
    engine_args: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Passed to the engine verbatim (vLLM's EngineArgs)."""
    share_engine: bool = False
    """Serve proposer and evaluator from one process with one engine, and so with one copy of the base weights. The engine, its devices
    and threads are the proposer's; `engine_args` of both are merged, and one argument with two values is an error."""


class CriticConfig(AgentConfig):
    """Turns rewards into credit and policy updates. Needs no GPU and no torch."""
