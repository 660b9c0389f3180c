"""One job that a finished run must have committed, and the id that it must have."""

from dataclasses import dataclass

from protocol.jobs import TrainingSequence
from seal_runtime.chaos.ledger_audit import Place
from seal_runtime.controller.study import Study

NONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One job that must be committed or set aside. `sequences` are an inner loop's training texts, None for every other stage.

    `covered_by` are the ids of jobs whose being set aside excuses this one. `examined` is the place of the inner loop whose adapter an
    examination must name, None where it has none; `merged` are those whose adapters its policy must have on top of its version.
    """

    place: Place
    study: Study | None
    sequences: tuple[TrainingSequence, ...] | None
    covered_by: tuple[str, ...]
    examined: Place | None
    merged: tuple[Place, ...]


def job_id_of(place: Place) -> str:
    """Return the id that the job at a place must have."""
    stage, study, context_id, edit_index, replicate = place
    if stage in ("credit", "policy"):
        return f"{study}/{stage}"
    if stage == "propose" and edit_index != NONE:
        return f"{study}/{context_id}/e{edit_index}/s{replicate}/propose"
    if stage == "propose":
        return f"{study}/{context_id}/propose"
    if not context_id:
        return f"{study}/r{replicate}/{stage}"
    return f"{study}/{context_id}/e{edit_index}/r{replicate}/{stage}"


def expected(
    study: Study,
    place: Place,
    *,
    sequences: tuple[TrainingSequence, ...] | None = None,
    examined: Place | None = None,
    merged: tuple[Place, ...] = (),
    covered_by: tuple[str, ...] = (),
) -> Expected:
    """Return a job of a study; what is left out, it does not have."""
    return Expected(place=place, study=study, sequences=sequences, covered_by=covered_by, examined=examined, merged=merged)
