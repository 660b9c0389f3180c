"""List every self-edit of the rounds, for people who look for one."""

from collections.abc import Mapping

from seal_runtime.report.gather import EditRecord, Gathered
from seal_runtime.report.model import EditLine
from seal_runtime.report.rounds import rounds_of
from seal_runtime.tasks.base import Instance


def edit_lines(gathered: Gathered, instances: Mapping[str, Instance]) -> tuple[EditLine, ...]:
    """Return a line for each self-edit whose text is known, by round, context and index."""
    return tuple(
        _line(number, edit, instances)
        for number, study in rounds_of(gathered)
        for _, edit in sorted(study.edits.items())
        if edit.text is not None
    )


def _line(number: int, edit: EditRecord, instances: Mapping[str, Instance]) -> EditLine:
    instance = instances.get(edit.context_id)
    return EditLine(
        edit_id=f"round-{number}/{edit.context_id}/e{edit.edit_index}",
        round=number,
        title=instance.title if instance is not None else edit.context_id,
        state=edit.state,
        reward=edit.score,
        chosen=edit.chosen,
        text=edit.text or "",
    )
