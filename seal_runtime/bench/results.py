"""What the inner-loop benchmark found, as data. Every figure of an arm is for one edit of the whole set unless its name says else."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One way of doing the inner loop.

    `num_measured` edits were run; their time is scaled to all edits by optimizer steps (training) and questions (answering). Tokens are
    real ones, never padding. `useful_tflops` counts the arithmetic of the real tokens a second of training, `executed_tflops` that of
    the padding too. Ratios are of whole times (training and answering): above 1 is faster.
    """

    name: str
    num_slots: int | None
    num_measured: int
    train_seconds: float
    answer_seconds: float
    edits_per_hour: float
    tokens_per_second: float
    useful_tflops: float
    executed_tflops: float
    peak_memory_bytes: int
    times_reference: float | None
    times_unpadded: float | None

    @property
    def seconds(self) -> float:
        """Return the whole time of an edit."""
        return self.train_seconds + self.answer_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Ours, all edits in one batch, against PEFT and the Trainer, one after the other: |ours - theirs| / |theirs - initial| of an adapter.

    Where a weight's gradient is about AdamW's epsilon (1e-8), its step is rounding noise; single such weights make up the largest errors.
    """

    num_edits: int
    num_steps: int
    median_error: float
    largest_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLoopResult:
    """The whole benchmark. Of `answers_compared` answers of ours and of the unpadded PEFT loop, `answers_equal` are equal."""

    model: str
    device: str
    dtype: str
    clock: str
    edits: str
    num_edits: int
    tokens_per_edit: float
    steps_per_edit: float
    max_length: int
    pad_loss: str
    rank: int
    targets: tuple[str, ...]
    epochs: int
    adapter_weights: int
    measured_peak_tflops: float
    stated_peak_tflops: float | None
    arms: tuple[ArmResult, ...]
    parity: Parity | None
    parity_note: str
    answers_equal: int
    answers_compared: int
    versions: dict[str, str]

    def to_json(self) -> str:
        """Return indented JSON."""
        return json.dumps(asdict(self), indent=2)
