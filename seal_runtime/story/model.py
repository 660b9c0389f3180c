"""What the story of a self-edit says, as data. Times are Unix seconds; None stands for what is not known (yet), never for a zero."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

EditState = Literal["scored", "unparsed", "invalid", "unfinished"]
Outcome = Literal["committed", "failed", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStory:
    """A policy version. `parent` is None for version 0; an empty `adapter_sha256` is a version without a change."""

    version: int
    parent: int | None
    round: int
    adapter_sha256: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """How the text came to be. `mean_logprob` is in nats a token, before temperature; `seed` is this edit's own."""

    prompt: str
    prompt_tokens: int | None
    prompt_truncated: int
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int | None
    text: str | None
    num_tokens: int | None
    mean_logprob: float | None
    finish_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The inner loop of one replicate; losses are mean nats a token of the first and last step, `num_truncated` sequences were cut."""

    adapter_sha256: str
    rank: int
    num_bytes: int
    first_loss: float
    final_loss: float
    num_steps: int
    num_tokens: int
    num_truncated: int
    learning_rate: float
    epochs: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptStory:
    """What the evaluator proved; `matches` says that it measured the adapter that was trained, and that it had effect."""

    adapter_sha256: str
    policy_version: int
    probe_delta: float
    matches: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer and its grade in [0, 1]."""

    text: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionStory:
    """One question with the answer without the edit (None where nobody asked) and those of the replicates, in order."""

    question_id: str
    prompt: str
    gold: tuple[str, ...]
    base: Answer | None
    adapted: tuple[Answer | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """One inner loop and its examination; `score` is its mean grade."""

    number: int
    training: Training | None
    receipt: ReceiptStory | None
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A self-edit of the same context in the same round; `weight` is None before the credit."""

    edit_index: int
    reward: float | None
    weight: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What the critic made of it. `rank` counts from 1 among the measured edits of the context, equal rewards share a rank.

    `baseline` is the context's score without an edit as the critic saw it, None where it was not measured.
    """

    rule: str
    reward: float | None
    weight: float | None
    rank: int | None
    num_ranked: int
    baseline: float | None
    num_selected: int
    rivals: tuple[Rival, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one of the edit's jobs. `controller` counts the controllers of the run from 0, `number` the tries under it from 1.

    A try that was lost (its agent died, left or was given up) leaves nothing but its number in the ledger.
    """

    job_id: str
    stage: str
    controller: int
    number: int
    outcome: Outcome
    agent: str
    hostname: str
    gpus: tuple[int, ...]
    started_at: float | None
    ended_at: float | None
    duration_seconds: float | None
    error_type: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A job that was given up, and why."""

    job_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that a run knows of one self-edit. `context` is None when the task's data cannot be read any more (`notes` says so).

    `base_study` names the study that the base answers come from. `sequences` are prompt and completion of each training sequence.
    With `has_rows` the replicates are the rows of a continual sequence: the edit's context after 0, 1, 2, ... merged edits.
    """

    edit_id: str
    run: str
    run_phase: str
    study: str
    round: int | None
    kind: str
    context_id: str
    edit_index: int
    state: EditState
    state_reason: str
    title: str
    context: str | None
    proposal: Proposal | None
    sequences: tuple[tuple[str, str], ...]
    parse_error: str
    replicates: tuple[Replicate, ...]
    num_replicates: int
    has_rows: bool
    base_study: str
    questions: tuple[QuestionStory, ...]
    base_score: float | None
    reward: float | None
    credit: Credit | None
    policy: PolicyStory | None
    next_policy: PolicyStory | None
    attempts: tuple[Attempt, ...]
    set_aside: tuple[SetAside, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, ready for JSON."""
        return asdict(self)
