"""The rows that `Run` returns, flat so that `pandas.DataFrame(rows)` is a table. None stands for what is not known (yet).

Scores and rewards are fractions in [0, 1], times Unix seconds. `study` is the ledger's name of a set of measurements: `round-3`,
`heldout-v2`, `no-update`, `retention-v0`; `round` is its number for the rounds and None for every other study.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["done", "failed", "set aside"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What all rows share."""

    def asdict(self) -> dict[str, Any]:
        """Return the row as a plain dict."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRow(Row):
    """One self-edit that has a reward: the mean over `num_replicates` inner loops, 0 for an edit that could not be parsed (`unparsed`).

    `chosen` says whether the critic gave it weight in the policy update; it is False until the round is credited.
    """

    study: str
    round: int | None
    policy_version: int
    context_id: str
    edit_index: int
    edit_id: str
    reward: float
    num_replicates: int
    unparsed: bool
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRow(Row):
    """One self-edit as it was written and what its (first) inner loop was. Losses are mean nats a token of the first and last step.

    `state` is scored, unparsed, invalid (set aside, no reward) or missing (not measured yet). `mean_logprob` is in nats a token.
    """

    study: str
    round: int | None
    policy_version: int
    context_id: str
    edit_index: int
    edit_id: str
    state: str
    reward: float | None
    chosen: bool
    weight: float | None
    text: str
    num_tokens: int
    mean_logprob: float | None
    finish_reason: str
    adapter_sha256: str | None
    num_steps: int | None
    first_loss: float | None
    final_loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow(Row):
    """One graded answer of one replicate; `adapter_sha256` is None where the policy answered without an adapter of an edit."""

    study: str
    round: int | None
    policy_version: int
    context_id: str
    edit_index: int
    replicate: int
    question_id: str
    question: str
    gold: tuple[str, ...]
    answer: str
    score: float
    adapter_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersionRow(Row):
    """One policy version; version 0 is the base model. `heldout_score` is the mean over contexts, None if it was not measured."""

    version: int
    parent: int | None
    round: int
    adapter_sha256: str
    rank: int
    num_bytes: int
    created_at: float
    num_chosen: int
    heldout_score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow(Row):
    """One study: the mean over contexts of each context's mean over edits, its standard error, and the counts behind it.

    `stderr_score` is None for a continual study, whose contexts depend on one another (`Run.summary().continual` has it over sequences).
    """

    study: str
    round: int | None
    policy_version: int
    num_contexts: int
    num_scored: int
    num_unparsed: int
    num_invalid: int
    mean_score: float | None
    stderr_score: float | None
    started_at: float | None
    ended_at: float | None
    edits_per_hour: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinualRow(Row):
    """One cell of the matrix of one continual sequence: the score on a passage after so many merged edits, None if it was not measured.

    `num_edits` counts from 0 (no edit), `passage` from 1: it is learned by the edit of the same number. `sequence` counts from 0.
    """

    study: str
    policy_version: int
    sequence: int
    num_edits: int
    passage: int
    context_id: str
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow(Row):
    """One attempt at a job, or the decision to give the job up. What a failed attempt cost is not known, so it has no start.

    `ended_at` is the time of the commit or of the failure, by the controller's clock.
    """

    job_id: str
    stage: str
    study: str
    attempt: int | None
    agent: str | None
    outcome: Outcome
    error_type: str | None
    reason: str | None
    started_at: float | None
    duration_seconds: float | None
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts(Row):
    """Where the run stands by its ledger. `phase` is the controller's word; `finished` means that nothing more will come by itself."""

    run: str
    run_id: str
    phase: str
    reason: str
    finished: bool
    started_at: float | None
    finished_at: float | None
    num_results: int
    num_set_aside: int
    policy_version: int
