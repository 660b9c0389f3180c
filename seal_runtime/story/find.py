"""Find the self-edit that people mean: `round-2/town-grand-hollow/e3`, or as much of it as names one edit only."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from seal_runtime.errors import ConfigError
from seal_runtime.ledger.proposals import proposed_edits
from seal_runtime.ledger.reader import LedgerReader

MAX_LISTED = 8
_EDIT = re.compile(r"e(\d+)")
_TAIL = re.compile(r"/[rs]\d+(/(adapt|evaluate|propose))?$|/propose$")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EditId:
    """Where an edit stands: study, context, index."""

    study: str
    context_id: str
    edit_index: int

    def __str__(self) -> str:
        return f"{self.study}/{self.context_id}/e{self.edit_index}"


def find_edit(reader: LedgerReader, text: str) -> EditId:
    """Return the edit that `text` names. Raises ConfigError that lists what it could mean, or the nearest names."""
    edits = known_edits(reader)
    if not edits:
        raise ConfigError("this run has no self-edit yet; wait until a proposer has written one")
    wanted = _TAIL.sub("", text.strip().strip("/"))
    found = _self_edits_first(matches(edits, wanted))
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(map(str, found[:MAX_LISTED]))
        more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
        raise ConfigError(f"{text!r} could be {len(found)} self-edits: {listed}{more}; name one")
    near = nearest(edits, wanted)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the first one is {edits[0]}"
    raise ConfigError(f"expected a self-edit such as round-1/CONTEXT/e0, got {text!r}; {hint}")


def _self_edits_first(found: list[EditId]) -> list[EditId]:
    """Return the edits that a policy wrote, the measurements beside them only when there is nothing else."""
    return [edit for edit in found if edit.study.startswith(("round-", "heldout-", "cpt-v", "continual-v"))] or found


def known_edits(reader: LedgerReader) -> list[EditId]:
    """Return every self-edit that the ledger knows of, also those that could not be parsed or were set aside."""
    found: dict[EditId, None] = {}
    for row in reader.results(stage="propose"):
        for index, _, _ in proposed_edits(row):
            found[EditId(study=row.study, context_id=row.context_id, edit_index=index)] = None
    others = [*reader.job_ids("adapt"), *reader.job_ids("evaluate"), *(row.job_id for row in reader.set_aside())]
    for job_id in others:
        match job_id.split("/"):
            case [study, context_id, edit, _, _] if (index_match := _EDIT.fullmatch(edit)) is not None:
                found[EditId(study=study, context_id=context_id, edit_index=int(index_match[1]))] = None
            case _:
                pass
    return sorted(found, key=_order)


def matches(edits: Sequence[EditId], wanted: str) -> list[EditId]:
    """Return the edits that a text means: whole names before beginnings before parts, so that `round-1` is not `round-10`."""
    parts = [part for part in wanted.split("/") if part]
    if not parts:
        return []
    graded = [(grade, edit) for edit in edits if (grade := _grade(parts, edit)) is not None]
    best = min((grade for grade, _ in graded), default=None)
    return [edit for grade, edit in graded if grade == best]


def nearest(edits: Sequence[EditId], wanted: str) -> list[str]:
    """Return the names that are most like a text, at most three."""
    names = {str(edit): edit for edit in edits}
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.6)
    if near:
        return near
    contexts = {edit.context_id: edit for edit in edits}
    parts = [part for part in wanted.split("/") if part]
    return [str(contexts[name]) for part in parts for name in difflib.get_close_matches(part, contexts, n=2, cutoff=0.6)][:3]


def _grade(parts: Sequence[str], edit: EditId) -> int | None:
    """Return how well the parts fit neighbouring parts of the name: the sum of 0 (equal), 1 (beginning), 2 (part); None: not at all."""
    names = str(edit).split("/")
    sums = []
    for start in range(len(names) - len(parts) + 1):
        grades = [_part_grade(part, name) for part, name in zip(parts, names[start:], strict=False)]
        if None not in grades:
            sums.append(sum(grade for grade in grades if grade is not None))
    return min(sums, default=None)


def _part_grade(part: str, name: str) -> int | None:
    if part == name:
        return 0
    if _EDIT.fullmatch(name) and _EDIT.fullmatch(part):
        return None
    if name.startswith(part):
        cuts_number = part[-1].isdigit() and name[len(part)].isdigit()
        return None if cuts_number else 1
    return 2 if part in name else None


def _order(edit: EditId) -> tuple[bool, int, str, str, int]:
    """Sort rounds first and by number, then the other studies."""
    kind, _, number = edit.study.rpartition("-")
    is_round = kind == "round" and number.isdigit()
    return not is_round, int(number) if is_round else 0, edit.study, edit.context_id, edit.edit_index
