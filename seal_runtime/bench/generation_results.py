"""What the generation benchmark found, as data. Times are medians over the repeats; an edit is one adapter with its questions."""

import json
from dataclasses import asdict, dataclass

PEFT_GENERATE = "PEFT generate"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerArm:
    """One engine answering for `num_adapters` adapters at once: loading each adapter, the receipt's probe and all of its questions.

    `PEFT generate` answers for one adapter after the other, without a receipt. Tokens are generated ones, the one that ends an answer
    included. `repeat_seconds` are the seconds an edit of each repeat. Of `num_compared` answers `num_equal` are those of PEFT.
    """

    engine: str
    num_adapters: int
    seconds_an_edit: float
    repeat_seconds: tuple[float, ...]
    questions_per_second: float
    tokens_per_second: float
    times_peft: float | None
    num_equal: int
    num_compared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleArm:
    """One engine writing self-edits with the base, several a passage."""

    engine: str
    num_edits: int
    seconds_an_edit: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Greedy answers of two engines, token by token.

    `largest_gap` is, over the answers that differ, the largest difference (nats) of the log-probabilities that transformers gives the two
    tokens where they part: near 0 it is a tie that rounding decides. 0 when all are equal.
    """

    num_compared: int
    num_equal: int
    largest_gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationResult:
    """The whole benchmark. `agreement` is that of vLLM with transformers, over all answers of one repeat; None without vLLM."""

    model: str
    device: str
    dtype: str
    clock: str
    measured_peak_tflops: float
    adapters: str
    num_edits: int
    num_questions: int
    rank: int
    targets: tuple[str, ...]
    max_new_tokens: int
    repeats: int
    answering: tuple[AnswerArm, ...]
    sampling: tuple[SampleArm, ...]
    agreement: Agreement | None
    notes: tuple[str, ...]
    versions: dict[str, str]

    def to_json(self) -> str:
        """Return indented JSON."""
        return json.dumps(asdict(self), indent=2)
