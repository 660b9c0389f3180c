"""Jobs and their results: what the controller asks of an agent and what the agent answers.

A job carries everything that its result depends on (texts, hyper-parameters, seed, policy lineage), so any agent of
the role can do it, on any host, any number of times, with the same result. Results name the adapters that they speak of
by SHA-256. There are no defaults here (but one, which users' tasks rely on): they live in the configuration, where a user can see them.
"""

from dataclasses import dataclass
from typing import Literal

Role = Literal["proposer", "trainer", "evaluator", "critic"]
ROLES: tuple[Role, ...] = ("proposer", "trainer", "evaluator", "critic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One examination question. `prompt` never contains the passage; `answers` are the accepted gold answers."""

    question_id: str
    prompt: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSequence:
    """One training text. The loss covers `completion` (and what `OptimSpec.pad_loss` adds); an empty prompt means the whole text.

    `weight` multiplies the loss of this sequence's tokens: 1.0 in supervised fine-tuning, the advantage in policy-gradient updates.
    With `loss_on_prompt` the prompt's tokens bear loss too; a model that speaks chat still reads it in its template.
    """

    prompt: str
    completion: str
    weight: float
    loss_on_prompt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRef:
    """An adapter known by the SHA-256 of its PEFT directory (`seal_runtime.store.adapters.adapter_sha256`)."""

    sha256: str
    rank: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRef:
    """A policy version: the base weights plus the adapters of its lineage, oldest first, all folded in.

    Version 0 is the base model and has an empty chain. The base weights themselves never change.
    """

    version: int
    chain: tuple[AdapterRef, ...]

    @property
    def sha256s(self) -> tuple[str, ...]:
        """Return the names of the chain's adapters."""
        return tuple(adapter.sha256 for adapter in self.chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSpec:
    """How text is drawn: temperature 0 is greedy decoding."""

    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSpec:
    """Shape of a LoRA adapter. `targets` are module suffixes such as `q_proj`; empty means the PEFT default of the model family."""

    rank: int
    alpha: float
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimSpec:
    """AdamW and its schedule for one adapter.

    `num_steps` 0 derives the optimizer steps from `epochs` and the number of sequences; any other value trains exactly that
    many steps, cycling through the (freshly shuffled) epochs for as long as it takes (the equal-step control).
    `max_length` is in tokens; what is longer is cut and counted: a prompt loses its beginning, a text without prompt its end.
    `pad_loss` says how much of the padding up to `max_length` counts: `none`, `eos` (one end-of-sequence token), `full`, `sampled:M`.
    """

    learning_rate: float
    epochs: int
    batch_size: int
    schedule: Literal["linear", "constant", "cosine"]
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    max_length: int
    num_steps: int
    pad_loss: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeJob:
    """Sample `len(seeds)` self-edits for one context from one policy version; edit i uses seeds[i] alone."""

    job_id: str
    policy: PolicyRef
    prompt: str
    sampling: SamplingSpec
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedEdit:
    """One sampled self-edit, with the log-probability (nats) that the sampling distribution before temperature gave each token."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeResult:
    """The self-edits of one context, in the order of the job's seeds. `prompt_truncated` counts prompt tokens cut away (0 normally)."""

    edits: tuple[GeneratedEdit, ...]
    prompt_tokens: int
    prompt_truncated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptJob:
    """Train one fresh LoRA adapter on base + policy. `purpose` is `inner` for a self-edit and `policy` for an outer-loop update."""

    job_id: str
    purpose: Literal["inner", "policy"]
    policy: PolicyRef
    sequences: tuple[TrainingSequence, ...]
    lora: LoraSpec
    optim: OptimSpec
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptResult:
    """A trained adapter. `num_tokens` counts the real tokens of one epoch; losses are mean nats a token of the first and last step."""

    adapter: AdapterRef
    num_steps: int
    num_tokens: int
    num_truncated: int
    first_loss: float
    final_loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateJob:
    """Answer `questions` greedily with base + policy (+ `adapter` unless None) and grade the answers.

    An answer ends at the character `stop` or the end-of-sequence token; "" leaves it to the latter. `scoring` says what the score is:
    the `mean` of the grades, or what the task makes of all answers together (`task`).
    """

    job_id: str
    policy: PolicyRef
    adapter: AdapterRef | None
    questions: tuple[Question, ...]
    max_new_tokens: int
    stop: str
    scoring: Literal["mean", "task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedAnswer:
    """One answer and its grade in [0, 1]."""

    question_id: str
    text: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof of what was measured: the SHA-256 of the bytes that were loaded ("" without an adapter) and the probe.

    `policy_sha256s` are those of the bytes that were folded into the base weights for the policy, oldest first.
    `probe_delta` is the largest absolute change (nats) that the adapter makes to the next-token log-probabilities after the
    first question's prompt; exactly 0 means that the adapter has no effect and the evaluation is not a measurement.
    """

    adapter_sha256: str
    policy_version: int
    policy_sha256s: tuple[str, ...]
    probe_delta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateResult:
    """Graded answers in the order of the job's questions, the score in [0, 1] that they make, and the receipt."""

    answers: tuple[GradedAnswer, ...]
    score: float
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredEdit:
    """A self-edit with its reward of each replicate; no rewards means that it could not be measured and must not be credited.

    `token_ids` and `behaviour_logprobs` are those of `GeneratedEdit`, for losses that need them.
    """

    edit_index: int
    text: str
    rewards: tuple[float, ...]
    token_ids: tuple[int, ...]
    behaviour_logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditGroup:
    """All self-edits of one context in one round. `baseline` is the score without any edit, None where it was not measured."""

    context_id: str
    prompt: str
    baseline: float | None
    edits: tuple[ScoredEdit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditJob:
    """Turn the rewards of a round into credit and a policy update."""

    job_id: str
    round: int
    seed: int
    groups: tuple[CreditGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCredit:
    """The critic's verdict on one self-edit: its mean reward over replicates and the weight with which it enters the update (0 = not)."""

    context_id: str
    edit_index: int
    reward: float
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUpdate:
    """The outer-loop step that a trainer shall take from the parent version."""

    sequences: tuple[TrainingSequence, ...]
    lora: LoraSpec
    optim: OptimSpec
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditResult:
    """Credit for every measured edit; `update` is None when nothing was worth learning (the policy stays as it is)."""

    credits: tuple[EditCredit, ...]
    update: PolicyUpdate | None


Job = ProposeJob | AdaptJob | EvaluateJob | CreditJob
JobResult = ProposeResult | AdaptResult | EvaluateResult | CreditResult

ROLE_OF_JOB: dict[type[Job], Role] = {ProposeJob: "proposer", AdaptJob: "trainer", EvaluateJob: "evaluator", CreditJob: "critic"}
RESULT_OF_JOB: dict[type[Job], type[JobResult]] = {
    ProposeJob: ProposeResult,
    AdaptJob: AdaptResult,
    EvaluateJob: EvaluateResult,
    CreditJob: CreditResult,
}
