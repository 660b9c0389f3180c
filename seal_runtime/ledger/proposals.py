"""Which self-edit of a context a proposal wrote: all of them, or one that was drawn again (`proposer.max_resamples`)."""

from collections.abc import Iterator

from protocol.jobs import GeneratedEdit, ProposeResult
from seal_runtime.ledger.records import NOT_APPLICABLE, ResultRow


def proposed_edits(row: ResultRow) -> Iterator[tuple[int, int, GeneratedEdit]]:
    """Yield (edit index, number of the resample or 0, edit) of a proposal. Of an edit's draws the last one committed counts."""
    assert isinstance(row.result, ProposeResult)
    if row.edit_index != NOT_APPLICABLE:
        yield row.edit_index, row.replicate, row.result.edits[0]
        return
    for index, edit in enumerate(row.result.edits):
        yield index, 0, edit
