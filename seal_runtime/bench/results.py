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
    """Ours against PEFT and the Trainer on one edit, trained beside others: |ours - theirs| / |theirs - initial| over all factors."""

    edit_id: str
    num_steps: int
    relative_delta_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLoopResult:
    """The whole benchmark. Of `answers_compared` answers of ours and of the unpadded PEFT loop, `answers_equal` are equal."""

    model: str
    device: str
    dtype: str
    edits: str
    num_edits: int
    tokens_per_edit: float
    steps_per_edit: float
    max_length: int
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
