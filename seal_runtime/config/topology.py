"""The topology: one YAML file that says everything about a run. Defaults live here and nowhere else.

Every section is one class; a docstring under each field gives its meaning and unit. Unknown keys are errors (see
`seal_runtime.config.loading`, which also names the nearest known key).
"""

from typing import Literal

from pydantic import Field

from protocol.jobs import LoraSpec, Role
from seal_runtime.config.agents import AgentConfig, CriticConfig, EvaluatorConfig, ProposerConfig, TrainerConfig
from seal_runtime.config.arc import ArcConfig
from seal_runtime.config.held_out_studies import ContinualConfig, CptConfig
from seal_runtime.config.hyperparameters import LoraConfig, OptimConfig
from seal_runtime.config.judge import JudgeConfig
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
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(default=(), strict=False)
    """Where the figures of metrics.jsonl go besides, each through its own library (`pip install 'seal-runtime[tensorboard]'` and so on).
    One that is missing or not logged in is told once and left out."""
    log_max_bytes: int = Field(default=32_000_000, ge=0)
    """Size in bytes at which an agent's log file is put aside as `<agent>.jsonl.1` and a new one begun. 0: never."""
    log_files_kept: int = Field(default=4, ge=0, le=99)
    """How many files that were put aside are kept for each agent; older ones are removed."""


class ModelConfig(Section):
    """The base model; its weights never change."""

    path: str = "builtin:seal-tiny"
    """`builtin:NAME`, a local folder in Hugging Face format, a hub name, or `random:ARCHITECTURE` (random weights, for timing)."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the frozen base. `auto`: float32 on CPU, bfloat16 on CUDA. Adapters are always trained in float32."""
    revision: str | None = None
    """Hub revision; null is the default branch."""
    chat: Literal["auto"] | bool = "auto"
    """Whether each prompt is put as a user's request into the model's chat template (instruct models). `auto`: when the name of the model
    has the word instruct, chat or it, as in Qwen2.5-7B-Instruct. Texts that the inner loop trains on stay as they are."""
    parse_special_tokens: bool = False
    """Whether special tokens that are written in a passage, a prompt or a self-edit (`<|im_end|>`) are those tokens to the model, as in the
    published code. false: they are ordinary text, so that no text can end itself or somebody's turn."""


class TaskConfig(Section):
    """What is learned. Custom tasks are named `module:Class` and are called with `options` as keyword arguments."""

    name: str = "fictional"
    """`fictional` (built in, no data needed), `squad` (passages and questions from a file or hub data set), `arc` (puzzles of coloured
    grids from files), or `module:Class`."""
    data: str | None = None
    """`squad`: a JSON, JSON-lines or parquet file, or a hub data set name. Relative paths are relative to the working directory."""
    edits: str | None = None
    """`squad`: a file with edits that somebody else wrote, in the form of the reference's synthetic data (`context`, `completions`).
    They are measured as *scripted edits* with the other baselines; every held-out passage needs one."""
    limit: int | None = Field(default=None, ge=3)
    """`squad`: use only the first so many passages; null is all."""
    prompt: Literal["implications", "implications-long", "implications-very-long", "rewrite", "self-qa"] = "implications"
    """`squad`: which of the paper's prompts asks for the self-edit (SEAL, appendix B)."""
    split_newlines: bool = True
    """`squad`: each line of an edit becomes a training sequence of its own."""
    grader: str = "contains"
    """`squad`: how answers are graded. `contains`, `exact`: right when it contains, or equals, a gold answer after normalisation.
    `em`, `f1`: SQuAD's official scores. `judge`: a language model says yes or no. `module:function`: a function of question and answer."""
    judge: JudgeConfig = JudgeConfig()
    """The model that grades with `grader: judge`."""
    arc: ArcConfig = ArcConfig()
    """The files and limits of task `arc`."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Keyword arguments of a custom task."""


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
    max_policy_lag: int = Field(default=0, ge=0, le=100)
    """By how many versions the policy of a round is older than the newest that it could wait for. 0: each round waits for the update
    of the round before (the paper). L: round r uses exactly version max(0, r - 1 - L), whatever the timing, so that trainers need
    not idle meanwhile."""
    select: Literal["best", "improved", "solved", "random"] = "best"
    """Which edits the policy learns from: the best of each context, every edit that improved on no edit (equation 2 of the
    paper), every edit whose reward is 1 (few-shot ARC), or one drawn at random (the control)."""
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
    cpt: CptConfig = CptConfig()
    """Continued pretraining on many contexts at once."""
    continual: ContinualConfig = ContinualConfig()
    """Self-edits one after the other, each merged before the next."""


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
    metrics_bind: str = ""
    """HOST:PORT at which the controller serves `/metrics` (Prometheus) and `/health` over HTTP, not asking who reads; "" serves nothing.
    Needs `pip install 'seal-runtime[prometheus]'`. Port 0 picks a free one, which the controller's log names."""


class LimitsConfig(Section):
    """Deadlines and bounds."""

    max_attempts: int = Field(default=3, ge=1)
    """Tries of a job before its item is set aside as invalid."""
    max_deaths: int = Field(default=3, ge=1)
    """A job that was held by so many agents that died is set aside as poison; from the second death on it runs alone. Raise it on
    machines that are often taken away."""
    job_timeout_seconds: float = Field(default=3600.0, gt=0.0)
    """Longest time that one job may take on an agent."""
    stuck_seconds: float = Field(default=20.0, gt=0.0)
    """An agent whose main thread has been in one step for so long is named with its stack; nothing is done to it, for a long step of
    training is legal. The same for an agent that is silent."""
    step_timeout_seconds: float = Field(default=1800.0, gt=0.0)
    """Longest time that one step may take (one optimizer step, one turn of generation, not one job). Then the agent is hung: its jobs
    go to others, and its process ends and is started again."""
    startup_timeout_seconds: float = Field(default=900.0, gt=0.0)
    """Longest time from start to ready (loading a large model takes minutes)."""
    no_agent_timeout_seconds: float = Field(default=1800.0, gt=0.0)
    """The run fails when a role with waiting jobs has had no agent for so long."""
    max_waiting_edits: int = Field(default=1024, ge=1)
    """Proposers get no further contexts while so many self-edits wait for a trainer. Those that are being written come on top."""
    max_waiting_adapters: int = Field(default=64, ge=1)
    """Trainers get no further self-edits while so many adapters wait for an evaluator: each takes its size in the run's store (or
    /dev/shm) until it is graded. Those that are being trained or examined come on top."""
    max_restarts: int = Field(default=5, ge=0)
    """How often a local agent that died is started again; after half an hour of life its earlier deaths are forgotten."""


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

    def large_adapters(self) -> tuple[LoraSpec, ...]:
        """Return the shapes of what a trainer trains beside the adapters of self-edits: policy updates, continued pretraining."""
        updates = (self.algorithm.lora.spec(),) if self.run.rounds else ()
        return (*updates, self.evaluation.cpt.lora_spec()) if self.evaluation.cpt.num_contexts else updates

    def agents(self, role: Role) -> AgentConfig:
        """Return the section of a role."""
        sections: dict[Role, AgentConfig] = {
            "proposer": self.proposer,
            "trainer": self.trainer,
            "evaluator": self.evaluator,
            "critic": self.critic,
        }
        return sections[role]
