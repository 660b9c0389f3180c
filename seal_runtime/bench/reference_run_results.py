"""What the benchmark against the published code found, as data and as text."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from seal_runtime.bench.table import aligned

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringArm:
    """One way of scoring self-edits: training, answering without and with the adapter, grading. Seconds are for one edit of the set.

    `num_measured` edits were run; where these are not all, training is scaled by optimizer steps, answers and grades by questions. In
    our arms the three stages overlap and only their sum is known. `accuracy` is the share of right answers with the adapters measured.
    `grader_calls` counts the verdicts asked for, an edit.
    """

    name: str
    pad_loss: str
    num_measured: int
    seconds: float
    train_seconds: float | None
    answer_seconds: float | None
    grade_seconds: float | None
    grader_calls: float
    accuracy: float
    times_reference: float

    @property
    def edits_per_hour(self) -> float:
        """Return the self-edits scored an hour."""
        return _SECONDS_PER_HOUR / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRunResult:
    """The whole benchmark. The first arm is the reference; all ratios are to it."""

    model: str
    device: str
    dtype: str
    clock: str
    edits: str
    num_edits: int
    tokens_per_edit: float
    steps_per_edit: float
    questions_per_edit: float
    epochs: int
    rank: int
    max_length: int
    num_slots: int
    grader_latency_seconds: float
    arms: tuple[ScoringArm, ...]

    def to_json(self) -> str:
        """Return indented JSON."""
        return json.dumps(asdict(self) | {"edits_per_hour": {arm.name: arm.edits_per_hour for arm in self.arms}}, indent=2)


def format_reference_run(result: ReferenceRunResult) -> str:
    """Return the heading, the table and what the figures mean."""
    rows: list[Sequence[str]] = [
        ("", "pad_loss", "edits", "train s", "answer s", "grade s", "s an edit", "edits/h", "x ref.", "grades", "right %")
    ]
    rows += [_row(arm) for arm in result.arms]
    latency = f"; each grade takes {result.grader_latency_seconds:g} s more" if result.grader_latency_seconds else ""
    return "\n".join(
        [
            f"{result.model} ({result.dtype}) on {result.device}, {result.clock} seconds",
            f"{result.num_edits} edits ({result.edits}): {result.tokens_per_edit:.0f} tokens, {result.steps_per_edit:.0f} steps and "
            f"{result.questions_per_edit:.1f} questions an edit, {result.epochs} epochs, LoRA r={result.rank}",
            f"reference: PEFT + Trainer, batch 1 padded to {result.max_length} tokens with the padding in the loss; baseline answered and "
            "graded for every edit; everything in turn",
            f"ours: K = {result.num_slots} adapters at once, answers while others train, a baseline once a passage, grades beside{latency}",
            "",
            *aligned(rows),
            "",
            "arms with pad_loss full do the reference's arithmetic; sampled:M equals it in expectation; none and eos are other arithmetic",
        ]
    )


def _row(arm: ScoringArm) -> tuple[str, ...]:
    return (
        arm.name,
        arm.pad_loss,
        str(arm.num_measured),
        _seconds(arm.train_seconds),
        _seconds(arm.answer_seconds),
        _seconds(arm.grade_seconds),
        f"{arm.seconds:.3g}",
        f"{arm.edits_per_hour:,.0f}",
        f"{arm.times_reference:.3g}",
        f"{arm.grader_calls:.1f}",
        f"{100 * arm.accuracy:.0f}",
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
