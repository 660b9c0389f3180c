"""Read a ledger once and fold it: the report's records of edits and studies, and what only the rows of this package show."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean

from protocol.jobs import AdaptResult, CreditResult, GeneratedEdit, ProposeResult
from seal_runtime.ledger.proposals import proposed_edits
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.records import ResultRow
from seal_runtime.report.gather import EditParser, Gathered, gather
from seal_runtime.run.rows import EditRow

EditPlace = tuple[str, str, int]
"""Study, context and index of an edit."""


@dataclass(slots=True, kw_only=True)
class Folded:
    """The folded ledger. `adapted` is what the first replicate's inner loop was; `weights` are the critic's."""

    gathered: Gathered
    written: dict[EditPlace, GeneratedEdit] = field(default_factory=dict)
    adapted: dict[EditPlace, tuple[int, AdaptResult]] = field(default_factory=dict)
    weights: dict[EditPlace, float] = field(default_factory=dict)


def fold(ledger: LedgerReader, parses: EditParser, study: str | None = None) -> Folded:
    """Fold all results, or those of one study. Raises LedgerError, and what `parses` raises."""
    folded = Folded(gathered=Gathered(studies={}, spans=()))
    set_aside = [row.job_id for row in ledger.set_aside() if study is None or row.job_id.startswith(f"{study}/")]
    folded.gathered = gather(_noted(ledger.results(study=study), folded), set_aside, parses)
    return folded


def round_of(study: str) -> int | None:
    """Return the number of a study `round-N`, None for every other study."""
    number = study.removeprefix("round-")
    return int(number) if number != study and number.isdigit() else None


def edit_row(folded: Folded, place: EditPlace) -> EditRow:
    """Return the row of one written edit."""
    study_name, context_id, edit_index = place
    study = folded.gathered.study(study_name)
    edit, text = study.edit(context_id, edit_index), folded.written[place]
    _, adapted = folded.adapted.get(place, (0, None))
    return EditRow(
        study=study_name,
        round=round_of(study_name),
        policy_version=study.policy_version,
        context_id=context_id,
        edit_index=edit_index,
        edit_id=f"{study_name}/{context_id}/e{edit_index}",
        state=edit.state,
        reward=edit.score,
        chosen=edit.chosen,
        weight=folded.weights.get(place),
        text=text.text,
        num_tokens=len(text.token_ids),
        mean_logprob=fmean(text.logprobs) if text.logprobs else None,
        finish_reason=text.finish_reason,
        adapter_sha256=adapted.adapter.sha256 if adapted is not None else None,
        num_steps=adapted.num_steps if adapted is not None else None,
        first_loss=adapted.first_loss if adapted is not None else None,
        final_loss=adapted.final_loss if adapted is not None else None,
    )


def _noted(rows: Iterator[ResultRow], folded: Folded) -> Iterator[ResultRow]:
    """Pass the rows on and keep what the report's records leave out."""
    for row in rows:
        result = row.result
        if isinstance(result, ProposeResult):
            folded.written |= {(row.study, row.context_id, index): edit for index, _, edit in proposed_edits(row)}
        elif isinstance(result, CreditResult):
            folded.weights |= {(row.study, credit.context_id, credit.edit_index): credit.weight for credit in result.credits}
        elif isinstance(result, AdaptResult) and row.stage == "adapt":
            place = (row.study, row.context_id, row.edit_index)
            if place not in folded.adapted or row.replicate < folded.adapted[place][0]:
                folded.adapted[place] = (row.replicate, result)
        yield row
