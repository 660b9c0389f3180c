"""metrics.jsonl from the reader's side: whole lines, decoded, and the scalars that trackers draw."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KINDS = {"reward": "reward", "heldout": "heldout", "retention": "retention", "continual": "continual"}
_FIGURES = ("mean_score", "score_stderr", "num_scored", "num_invalid", "num_unparsed", "seconds", "edits_per_hour")
_GROUPS = ("time_shares", "texts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalars:
    """The numbers of one study; `step` is the policy version that it measured, so that all curves lie on one axis."""

    step: int
    values: dict[str, float]
    at: float


def read_from(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return the records that begin at byte `offset` or later, and the offset after the last whole line.

    A line that is being written is left for the next time; one that is no JSON object (a disk was full) is passed over.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read()
    except FileNotFoundError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    return list(_decoded(whole)), offset + len(whole)


def scalars_of(record: Mapping[str, Any]) -> Scalars:
    """Return a record's numbers under names like `reward/mean_score`, `heldout/texts/unique_share`, `baseline/no-update/seconds`.

    Raises KeyError or ValueError for a record that is none of a study.
    """
    study, purpose = str(record["study"]), str(record["purpose"])
    prefix = _KINDS.get(purpose, f"{purpose}/{study}")
    values = {f"{prefix}/{name}": record.get(name) for name in _FIGURES}
    for group in _GROUPS:
        values |= {f"{prefix}/{group}/{name}": value for name, value in (record.get(group) or {}).items()}
    forgetting = (record.get("continual") or {}).get("forgetting") or {}
    values |= {f"{prefix}/forgetting/{name}": forgetting.get(name) for name in ("mean", "stderr")}
    numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    return Scalars(step=int(record["policy_version"]), values=numbers, at=float(record.get("at", 0.0)))


def _decoded(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record
