"""Texts that did not fit: a prompt longer than the model's context, training sequences longer than max_length.

They are cut by a fixed rule (prompts lose their beginning, training texts their end) and the run goes on, but never silently.
"""

from protocol.jobs import AdaptResult, ProposeResult
from seal_runtime.controller.commands import LogEvent, LogValue
from seal_runtime.ledger.records import JobKey


class Truncation:
    """Counts what was cut, for the log and for the problems in the status."""

    def __init__(self) -> None:
        self._prompts: dict[str, None] = {}
        self._sequences: dict[str, None] = {}

    def of_prompt(self, key: JobKey, result: ProposeResult) -> list[LogEvent]:
        """Note a propose result; return the warning that it deserves, if any."""
        if not result.prompt_truncated:
            return []
        self._prompts[key.context_id] = None
        fields: dict[str, LogValue] = {
            "context": key.context_id,
            "study": key.study,
            "prompt_tokens": result.prompt_tokens,
            "cut": result.prompt_truncated,
        }
        return [LogEvent(level="warning", name="prompt_truncated", fields=fields)]

    def of_training(self, key: JobKey, result: AdaptResult) -> list[LogEvent]:
        """Note an adapt result; return the warning that it deserves, if any."""
        if not result.num_truncated:
            return []
        self._sequences[key.context_id] = None
        fields: dict[str, LogValue] = {
            "context": key.context_id,
            "study": key.study,
            "edit": key.edit_index,
            "sequences_cut": result.num_truncated,
        }
        return [LogEvent(level="warning", name="training_sequences_truncated", fields=fields)]

    def notes(self) -> list[str]:
        """Return a line for people on each kind of cut."""
        notes = []
        if self._prompts:
            notes.append(
                f"{len(self._prompts)} prompt(s) are longer than the model's context leaves room for: their beginning was cut; "
                "use shorter passages, a smaller proposer.sampling.max_new_tokens or a model with a longer context"
            )
        if self._sequences:
            notes.append(
                f"training sequences of {len(self._sequences)} context(s) are longer than optim.max_length or the model's context: "
                "their end was cut; shorten the passages or raise the limit"
            )
        return notes
