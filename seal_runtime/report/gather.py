"""Fold the ledger's rows into one record for each self-edit and each study. Pure: rows in, records out, no files.

Rows are read once and only what a report needs is kept, so that token ids and log-probabilities of long runs never pile up.
An edit without any row of its own is told apart here: it could not be parsed (score 0), was set aside (no score), or is not done yet.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from protocol.jobs import AdaptResult, CreditResult, EvaluateResult, GradedAnswer, ProposeResult
from seal_runtime.ledger.proposals import proposed_edits
from seal_runtime.ledger.records import ResultRow
from seal_runtime.ledger.study_names import CONTINUAL_PREFIX, CPT_PREFIX
from seal_runtime.report.model import EditState

EditKey = tuple[str, int]

EditParser = Callable[[str, str, int], bool]
"""Says whether an edit of a context (by id) can be parsed, or will be drawn again after as many resamples."""


@dataclass(slots=True, kw_only=True)
class EditRecord:
    """One edit of a study under construction. `scores` and `num_steps` are by replicate; `answers` are the first replicate's.

    `text` is the last draw, after `num_resamples` that could not be parsed. In a continual study the replicates are the rows of its
    matrix, and `final_row` is the one that counts: the last that was measured.
    """

    context_id: str
    edit_index: int
    text: str | None = None
    num_resamples: int = 0
    scores: dict[int, float] = field(default_factory=dict)
    num_steps: dict[int, int] = field(default_factory=dict)
    answers: tuple[GradedAnswer, ...] = ()
    chosen: bool = False
    invalid: bool = False
    unparsed: bool = False
    is_joint: bool = False
    final_row: int | None = None

    @property
    def measured(self) -> list[float]:
        """Return the scores that the edit's score is the mean of."""
        return [score for row, score in self.scores.items() if self.final_row in (None, row)]

    @property
    def state(self) -> EditState:
        """Return what became of the edit."""
        if self.measured:
            return "scored"
        if self.invalid:
            return "invalid"
        return "unparsed" if self.unparsed else "missing"

    @property
    def score(self) -> float | None:
        """Return the mean over replicates, 0 for an unparsed edit, None without a measurement (or where one adapter learns many edits)."""
        if self.measured:
            return sum(self.measured) / len(self.measured)
        return 0.0 if self.state == "unparsed" and not self.is_joint else None


@dataclass(slots=True, kw_only=True)
class StudyRecord:
    """All edits of one study. `lost_contexts` are those whose proposals were set aside, so that no edit of theirs is known.

    `lost_adapters` are the replicates of an adapter for all contexts that was set aside.
    """

    policy_version: int = 0
    edits: dict[EditKey, EditRecord] = field(default_factory=dict)
    lost_contexts: set[str] = field(default_factory=set)
    lost_adapters: set[int] = field(default_factory=set)
    started_at: float | None = None
    ended_at: float | None = None

    def edit(self, context_id: str, edit_index: int) -> EditRecord:
        """Return the record of one edit, made on first use."""
        return self.edits.setdefault((context_id, edit_index), EditRecord(context_id=context_id, edit_index=edit_index))

    def scores_by_context(self) -> dict[str, list[float]]:
        """Return the scores of the measured and the unparsed edits of each context, contexts in the order of their names."""
        scores: dict[str, list[float]] = {}
        for (context_id, _), edit in sorted(self.edits.items()):
            if edit.score is not None:
                scores.setdefault(context_id, []).append(edit.score)
        return scores

    @property
    def num_scored(self) -> int:
        """Return how many scores there are: one an edit, but one a context where one adapter learned all edits."""
        return sum(edit.state == "scored" and not (edit.is_joint and edit.edit_index) for edit in self.edits.values())

    def count(self, state: EditState) -> int:
        """Return the number of known edits in a state."""
        return sum(edit.state == state for edit in self.edits.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpan:
    """When and where one job was done; `stage` is propose, adapt, evaluate, credit or policy."""

    agent: str
    stage: str
    started_at: float
    ended_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The whole ledger, folded."""

    studies: Mapping[str, StudyRecord]
    spans: tuple[JobSpan, ...]

    def study(self, name: str) -> StudyRecord:
        """Return the study of that name, an empty one when nothing of it is known."""
        return self.studies.get(name, StudyRecord())


def gather(rows: Iterable[ResultRow], set_aside: Iterable[str], parses: EditParser) -> Gathered:
    """Fold rows (in commit order) and the ids of jobs that were set aside; `parses` is asked only where it matters."""
    studies: dict[str, StudyRecord] = {}
    spans: list[JobSpan] = []
    for row in rows:
        _fold_row(studies.setdefault(row.study, StudyRecord()), row)
        ended_at = row.started_at + row.duration_seconds
        spans.append(JobSpan(agent=row.agent, stage=row.stage, started_at=row.started_at, ended_at=ended_at))
    for job_id in set_aside:
        _fold_set_aside(studies, job_id)
    for name, study in studies.items():
        _mark_unparsed(study, parses)
        if name.startswith(CPT_PREFIX):
            _share_scores(study)
        elif name.startswith(CONTINUAL_PREFIX):
            _count_last_row(study)
    return Gathered(studies=studies, spans=tuple(spans))


def _fold_row(study: StudyRecord, row: ResultRow) -> None:
    result = row.result
    if isinstance(result, CreditResult):
        for credit in result.credits:
            study.edit(credit.context_id, credit.edit_index).chosen = credit.weight > 0
        return
    if row.stage == "policy":
        return
    study.policy_version = row.policy_version
    ended_at = row.started_at + row.duration_seconds
    study.started_at = row.started_at if study.started_at is None else min(study.started_at, row.started_at)
    study.ended_at = ended_at if study.ended_at is None else max(study.ended_at, ended_at)
    if isinstance(result, AdaptResult) and not row.context_id:
        return  # one adapter of all contexts is no edit's own
    if isinstance(result, ProposeResult):
        for index, num_resamples, edit in proposed_edits(row):
            record = study.edit(row.context_id, index)
            record.text, record.num_resamples = edit.text, num_resamples
        return
    edit_record, replicate = study.edit(row.context_id, max(0, row.edit_index)), max(0, row.replicate)
    if isinstance(result, AdaptResult):
        edit_record.num_steps[replicate] = result.num_steps
    elif isinstance(result, EvaluateResult):
        _fold_answers(edit_record, replicate, result, row.score)


def _fold_answers(edit: EditRecord, replicate: int, result: EvaluateResult, score: float | None) -> None:
    if score is None:
        score = result.score
    if not edit.scores or replicate < min(edit.scores):
        edit.answers = result.answers
    edit.scores[replicate] = score


def _fold_set_aside(studies: dict[str, StudyRecord], job_id: str) -> None:
    """Mark the edits that a job id speaks of; credit and policy updates concern none.

    STUDY/CONTEXT/propose, STUDY/CONTEXT/eINDEX/NUMBER/STAGE, or STUDY/rREPLICATE/adapt for one adapter of all contexts.
    """
    match job_id.split("/"):
        case [study, replicate, "adapt"] if replicate[1:].isdigit():
            studies.setdefault(study, StudyRecord()).lost_adapters.add(int(replicate[1:]))
        case [study, context_id, "propose"]:
            studies.setdefault(study, StudyRecord()).lost_contexts.add(context_id)
        case [study, context_id, edit, _, _] if edit[:1] == "e" and edit[1:].isdigit():
            studies.setdefault(study, StudyRecord()).edit(context_id, int(edit[1:])).invalid = True
        case _:
            pass


def _mark_unparsed(study: StudyRecord, parses: EditParser) -> None:
    for edit in study.edits.values():
        if edit.state in ("missing", "scored") and not edit.num_steps and edit.text is not None:
            edit.unparsed = not parses(edit.context_id, edit.text, edit.num_resamples)


def _share_scores(study: StudyRecord) -> None:
    """Give every edit of a context the score of the adapter that learned them all; those that were left out have none."""
    for (context_id, index), edit in study.edits.items():
        edit.is_joint = True
        examined = study.edits.get((context_id, 0))
        if index and examined is not None and not edit.unparsed:
            edit.scores, edit.answers = examined.scores, examined.answers


def _count_last_row(study: StudyRecord) -> None:
    last = max((row for edit in study.edits.values() for row in edit.scores), default=None)
    for edit in study.edits.values():
        edit.final_row = last
