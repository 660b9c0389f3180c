"""The topology: one YAML file that says everything about a run. Defaults live here and nowhere else.

Every section is one class; a docstring under each field gives its meaning and unit. Unknown keys are errors (see
`seal_runtime.config.loading`, which also names the nearest known key).
"""

from typing import Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from protocol.jobs import LoraSpec, OptimSpec, Role, SamplingSpec
from seal_runtime.config.section import Section

ALL_LINEAR_LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class RunConfig(Section):
    """What the run is called and how long it goes on."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name of the run and of its directory."""
    dir: str = "runs"
    """Folder that holds run directories, relative to where `launch` is called."""
    seed: int = Field(default=0, ge=0)
    """The run seed. Every other seed is derived from it."""
    rounds: int = Field(default=3, ge=0, le=10_000)
    """Outer-loop rounds. 0 only measures."""
    keep_adapters: Literal["none", "all"] = "none"
    """Whether inner-loop adapters are kept after they were graded. Policy versions are always kept."""


class ModelConfig(Section):
    """The base model; its weights never change."""

    path: str = "builtin:seal-tiny"
    """`builtin:NAME`, a local folder in Hugging Face format, a hub name, or `random:ARCHITECTURE` (random weights, for timing)."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the frozen base. `auto`: float32 on CPU, bfloat16 on CUDA. Adapters are always trained in float32."""
    revision: str | None = None
    """Hub revision; null is the default branch."""


class TaskConfig(Section):
    """What is learned. Custom tasks are named `module:Class` and are called with `options` as keyword arguments."""

    name: str = "fictional"
    """`fictional` (built in, no data needed), `squad` (passages and questions from a file or hub data set), or `module:Class`."""
    data: str | None = None
    """`squad`: a JSON, JSON-lines or parquet file, or a hub data set name. Relative paths are relative to the working directory."""
    limit: int | None = Field(default=None, ge=3)
    """`squad`: use only the first so many passages; null is all."""
    prompt: Literal["implications", "implications-long", "implications-very-long", "rewrite", "self-qa"] = "implications"
    """`squad`: which of the paper's prompts asks for the self-edit (SEAL, appendix B)."""
    split_newlines: bool = True
    """`squad`: each line of an edit becomes a training sequence of its own."""
    grader: Literal["contains", "exact"] = "contains"
    """`squad`: an answer is right when it contains, or equals, a gold answer after normalisation."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Keyword arguments of a custom task."""


class SamplingConfig(Section):
    """How self-edits are drawn."""

    temperature: float = Field(default=1.0, ge=0.0, le=10.0)
    """0 is greedy decoding."""
    top_p: float = Field(default=0.95, gt=0.0, le=1.0)
    """Nucleus mass."""
    max_new_tokens: int = Field(default=128, ge=1, le=131_072)
    """Longest self-edit in tokens."""

    def spec(self) -> SamplingSpec:
        """Return the wire form."""
        return SamplingSpec(temperature=self.temperature, top_p=self.top_p, max_new_tokens=self.max_new_tokens)


class LoraConfig(Section):
    """Shape of an adapter."""

    rank: int = Field(default=32, ge=1, le=512)
    """LoRA rank r."""
    alpha: float = Field(default=64.0, gt=0.0)
    """LoRA alpha; the adapter is scaled by alpha / rank."""
    targets: tuple[str, ...] = Field(default=(), strict=False)
    """Module suffixes that get LoRA, such as q_proj; empty is PEFT's default for the model family."""

    def spec(self) -> LoraSpec:
        """Return the wire form."""
        return LoraSpec(rank=self.rank, alpha=self.alpha, targets=self.targets)


class OptimConfig(Section):
    """AdamW (0.9, 0.999, 1e-8) and its schedule."""

    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    """Peak learning rate."""
    epochs: int = Field(default=10, ge=1, le=10_000)
    """Passes over the sequences."""
    batch_size: int = Field(default=1, ge=1, le=65_536)
    """Sequences an optimizer step."""
    schedule: Literal["linear", "constant", "cosine"] = "linear"
    """Decay of the learning rate to zero, or none."""
    warmup_steps: int = Field(default=0, ge=0)
    """Linear warm-up, in optimizer steps."""
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    """Decoupled weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    """Gradient-norm clip of each adapter."""
    max_length: int = Field(default=2048, ge=8)
    """Longest training sequence in tokens. What is longer is cut, counted and told: a prompt loses its beginning, other text its end."""

    def spec(self, *, num_steps: int = 0, pad_loss: str = "eos") -> OptimSpec:
        """Return the wire form; `num_steps` other than 0 fixes the optimizer steps. A policy update always learns to end (`eos`)."""
        return OptimSpec(**self.model_dump(), num_steps=num_steps, pad_loss=pad_loss)


class AlgorithmConfig(Section):
    """The outer loop."""

    name: Literal["rest-em"] = "rest-em"
    """Which algorithm turns rewards into policy updates."""
    contexts_per_round: int = Field(default=32, ge=1)
    """Contexts N whose edits are scored in a round."""
    edits_per_context: int = Field(default=5, ge=1, le=1024)
    """Self-edits M sampled for each context."""
    replicates: int = Field(default=1, ge=1, le=64)
    """Inner loops S for each edit; the reward is their mean."""
    resample_contexts: bool = False
    """Draw other contexts each round instead of the same ones."""
    select: Literal["best", "improved", "random"] = "best"
    """Which edits the policy learns from: the best of each context, every edit that improved on no edit (equation 2 of the
    paper), or one drawn at random (the control)."""
    lora: LoraConfig = LoraConfig(rank=64, alpha=128.0, targets=ALL_LINEAR_LLAMA)
    """Adapter of a policy update."""
    optim: OptimConfig = OptimConfig(learning_rate=3e-4, epochs=2, batch_size=10)
    """Optimiser of a policy update."""


class EvaluationConfig(Section):
    """What is measured beside the rewards. Nothing measured here reaches a reward or a policy update."""

    split: Literal["test", "validation"] = "test"
    """Held-out split. Choose settings on `validation`, report on `test`."""
    num_contexts: int = Field(default=40, ge=0)
    """Held-out contexts; 0 turns the held-out studies off."""
    edits_per_context: int = Field(default=2, ge=1, le=64)
    """Self-edits sampled for each held-out context and policy version."""
    every_rounds: int = Field(default=1, ge=1)
    """Measure the policy after every so many rounds (and after the last)."""
    baselines: bool = True
    """Also measure: no update, passage only, passage only with equal steps, scripted edits (where the task has them)."""
    retention: bool = True
    """Also measure known facts before and after (where the task has them)."""


class BusConfig(Section):
    """The message bus."""

    bind: str = "tcp://127.0.0.1:0"
    """Controller endpoint; port 0 picks a free one. Bind to another address to let other hosts attach."""
    curve: bool = True
    """Encrypt and authenticate every connection (CURVE); the connection file carries the key."""
    heartbeat_seconds: float = Field(default=1.0, gt=0.0, le=60.0)
    """Interval of agents' heartbeats."""
    agent_timeout_seconds: float = Field(default=15.0, gt=0.0)
    """An agent silent for so long is given up and its jobs go to others."""


class LimitsConfig(Section):
    """Deadlines and bounds."""

    max_attempts: int = Field(default=3, ge=1)
    """Tries of a job before its item is set aside as invalid."""
    job_timeout_seconds: float = Field(default=3600.0, gt=0.0)
    """Longest time that one job may take on an agent."""
    startup_timeout_seconds: float = Field(default=900.0, gt=0.0)
    """Longest time from start to ready (loading a large model takes minutes)."""
    no_agent_timeout_seconds: float = Field(default=1800.0, gt=0.0)
    """The run fails when a role with waiting jobs has had no agent for so long."""
    max_restarts: int = Field(default=5, ge=0)
    """How often a local agent that died is started again."""


class AgentConfig(Section):
    """What all roles have: how many and where."""

    count: int = Field(default=1, ge=0, le=4096)
    """Processes started by `launch`; more may attach later."""
    gpus: tuple[int, ...] = Field(default=(), strict=False)
    """Device indices, `gpus_per_agent` for each process in order; empty means CPU."""
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
    """Bound on the tokens of one packed step, and so on memory."""

    @field_validator("max_concurrent_adapters", mode="before")
    @classmethod
    def _check_adapters(cls, value: object) -> object:
        if value == "auto" or (type(value) is int and 1 <= value <= 4096):
            return value
        raise PydanticCustomError("auto_or_number", "auto or an integer from 1 to 4096")


class EvaluatorConfig(AgentConfig):
    """Examines adapted models."""

    engine: Literal["transformers", "vllm", "fake"] = "transformers"
    """What generates."""
    max_concurrent_jobs: int = Field(default=32, ge=1, le=4096)
    """Adapters answered for at once."""
    max_new_tokens: int = Field(default=64, ge=1, le=8192)
    """Longest answer in tokens."""
    engine_args: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Passed to the engine verbatim (vLLM's EngineArgs)."""


class CriticConfig(AgentConfig):
    """Turns rewards into credit and policy updates. Needs no GPU and no torch."""


class Topology(Section):
    """A whole run."""

    run: RunConfig = RunConfig()
    """The run itself."""
    model: ModelConfig = ModelConfig()
    """The base model."""
    task: TaskConfig = TaskConfig()
    """What is learned."""
    algorithm: AlgorithmConfig = AlgorithmConfig()
    """The outer loop."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured."""
    bus: BusConfig = BusConfig()
    """The message bus."""
    limits: LimitsConfig = LimitsConfig()
    """Deadlines and bounds."""
    proposer: ProposerConfig = ProposerConfig()
    """Agents that write self-edits."""
    trainer: TrainerConfig = TrainerConfig()
    """Agents that train adapters."""
    evaluator: EvaluatorConfig = EvaluatorConfig()
    """Agents that examine adapted models."""
    critic: CriticConfig = CriticConfig()
    """Agents that give credit."""

    def agents(self, role: Role) -> AgentConfig:
        """Return the section of a role."""
        sections: dict[Role, AgentConfig] = {
            "proposer": self.proposer,
            "trainer": self.trainer,
            "evaluator": self.evaluator,
            "critic": self.critic,
        }
        return sections[role]
