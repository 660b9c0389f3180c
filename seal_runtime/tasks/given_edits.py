"""Self-edits that somebody else wrote, from a file in the form of the reference's synthetic data: the row *scripted* of the final table.

So the paper's comparison with GPT-4.1's edits can be made, or edits of one model be learned by another. Each row has `context` and
`completions` (or one `completion`); what else it has, such as questions, is left to whoever reads it as data.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from seal_runtime.config.judge import JudgeConfig
from seal_runtime.config.yaml_source import describe
from seal_runtime.errors import DataError
from seal_runtime.tasks.base import Instance, Split
from seal_runtime.tasks.data_files import Row, read_rows
from seal_runtime.tasks.squad import SquadTask


class SquadTaskWithEdits(SquadTask):
    """Passages, and for each passage of the data the edits of the file `edits` that have text."""

    def __init__(
        self,
        *,
        data: str,
        limit: int | None,
        prompt: str,
        split_newlines: bool,
        grader: str,
        edits: str,
        judge: JudgeConfig | None = None,
    ) -> None:
        super().__init__(data=data, limit=limit, prompt=prompt, split_newlines=split_newlines, grader=grader, judge=judge)
        self._edits_file = edits

    def instances(self, split: Split) -> Sequence[Instance]:
        """Return the passages of a split. Raises DataError also when the file has no edit for a passage that is measured with it."""
        instances = super().instances(split)
        missing = [] if split == "reward" else [item.title for item in instances if item.context not in self._edits]
        if missing:
            raise DataError(
                f"{self._edits_file}: expected an edit for each passage of split {split!r}, "
                f"got none for {len(missing)} of {len(instances)}, "
                f"such as {missing[0]!r}; take passages and edits from the same file (task.data and task.edits)"
            )
        return instances

    def scripted_edit(self, instance: Instance) -> str:
        """Return the first edit that the file has for a passage."""
        return self._edits[instance.context][0]

    def scripted_edits(self, instance: Instance) -> Sequence[str]:
        """Return every edit with text that the file has for a passage, in its order."""
        return self._edits[instance.context]

    @cached_property
    def _edits(self) -> Mapping[str, tuple[str, ...]]:
        return given_edits(read_rows(self._edits_file))


def given_edits(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Return the completions with text by context, all stripped; of several rows of a context those of the first that has any.

    Raises DataError for a row of another form.
    """
    edits: dict[str, tuple[str, ...]] = {}
    for row in rows:
        value = row.value
        if not isinstance(value, dict) or not isinstance(value.get("context"), str):
            raise DataError(f"{row.location}: expected an object with a text `context`, got {describe(value)}")
        texts = value.get("completions", [value.get("completion")])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{row.location}: expected `completions`, a list of texts, or `completion`, a text, got {describe(texts)}")
        written = tuple(text.strip() for text in texts if text.strip())
        if written:
            edits.setdefault(value["context"].strip(), written)
    return edits
