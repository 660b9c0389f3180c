"""What a run has to do, by numbers: how long self-edits are, how they are cut into training sequences, how many questions are asked.

Where nothing better is at hand the profile is drawn from the quantiles of the self-edits published with SEAL (1,000 edits of 100 SQuAD
passages): 4 to 77 sequences (median 7, mean 9.0) of 50 tokens.
"""

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.jobs import OptimSpec
from seal_runtime.engines.pad_loss import ALL, parse_pad_loss
from seal_runtime.seeds import derive_seed

CHARACTERS_A_TOKEN = 4.3
"""Of Qwen2.5's tokenizer on the published edits."""
ANSWER_TOKENS = 8
"""Of a short answer, and the token that ends it."""
_NUM_PROFILES = 1000

Quantiles = tuple[tuple[float, float], ...]
_SEQUENCES: Quantiles = (
    (0.0, 3.6), (0.05, 4.5), (0.2, 5.5), (0.4, 6.5), (0.6, 7.5), (0.7, 8.5), (0.8, 9.5), (0.9, 12), (0.94, 15), (0.96, 21), (0.98, 30),
    (0.99, 46), (1.0, 77)
)  # fmt: skip
_LINE_CHARACTERS: Quantiles = (
    (0.0, 7), (0.05, 56), (0.2, 91), (0.4, 117), (0.5, 130), (0.6, 144), (0.8, 183), (0.9, 217), (0.95, 261), (0.98, 369), (0.99, 523),
    (0.995, 697), (1.0, 1600)
)  # fmt: skip
_PASSAGE_CHARACTERS: Quantiles = ((0.0, 160), (0.05, 332), (0.2, 553), (0.5, 717), (0.8, 950), (0.95, 1355), (1.0, 1664))
_QUESTIONS: Quantiles = ((0.0, 1), (0.05, 3), (0.2, 4), (0.5, 5), (0.9, 5), (0.95, 8), (1.0, 15))


@dataclass(frozen=True, slots=True, kw_only=True)
class EditProfile:
    """One self-edit in tokens: those that the model writes, and those of each training sequence."""

    written_tokens: int
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The self-edits to draw from, the passage alone, the questions of a context, and the tokens of prompts and answers."""

    profiles: tuple[EditProfile, ...]
    passage_tokens: int
    question_counts: tuple[int, ...]
    prompt_tokens: int
    question_tokens: int
    answer_tokens: int
    source: str

    @property
    def sequences_an_edit(self) -> float:
        """Return the mean number of training sequences."""
        return sum(len(profile.lengths) for profile in self.profiles) / len(self.profiles)

    @property
    def tokens_an_edit(self) -> float:
        """Return the mean tokens of all training sequences of an edit, one epoch."""
        return sum(sum(profile.lengths) for profile in self.profiles) / len(self.profiles)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLoad:
    """A training as an engine sees it: optimizer steps, and the mean rows and attended pairs of one."""

    num_steps: int
    rows: float
    pairs: float


def default_workload() -> Workload:
    """Return the workload of the published self-edits; the same at every call."""
    rng = random.Random(derive_seed(0, "plan", "published"))
    profiles = []
    for _ in range(_NUM_PROFILES):
        lines = [_draw(_LINE_CHARACTERS, rng) for _ in range(round(_draw(_SEQUENCES, rng)) - 1)]
        texts = [*lines, _draw(_PASSAGE_CHARACTERS, rng)]
        written = max(1, round(sum(lines) / CHARACTERS_A_TOKEN))
        profiles.append(EditProfile(written_tokens=written, lengths=tuple(tokens_of(length) for length in texts)))
    questions = tuple(round(_draw(_QUESTIONS, rng)) for _ in range(100))
    passage = tokens_of(sum(_draw(_PASSAGE_CHARACTERS, rng) for _ in range(100)) / 100)
    return Workload(
        profiles=tuple(profiles),
        passage_tokens=passage,
        question_counts=questions,
        prompt_tokens=passage + 60,
        question_tokens=40,
        answer_tokens=ANSWER_TOKENS,
        source="drawn from the quantiles of the 1,000 self-edits published with SEAL",
    )


def tokens_of(characters: float) -> int:
    """Return about how many tokens a text has, one at least."""
    return max(1, round(characters / CHARACTERS_A_TOKEN))


def training_load(lengths: Sequence[int], optim: OptimSpec) -> TrainingLoad:
    """Return what training on sequences of these lengths asks of an engine, the padding that `pad_loss` computes included.

    A sequence of L rows of which P are padding attends L (L + 1) / 2 pairs less those among the padding, which sees the text alone.
    """
    steps = optim.num_steps or optim.epochs * -(-len(lengths) // optim.batch_size)
    mode = parse_pad_loss(optim.pad_loss)
    rows, pairs = 0.0, 0.0
    for length in lengths:
        text = min(length + mode.keeps_end, optim.max_length)
        pads = min(optim.max_length - text, mode.max_positions) if mode.max_positions != ALL else optim.max_length - text
        rows += text + pads
        pairs += text * text + 2.0 * pads * text
    batches = -(-len(lengths) // optim.batch_size)
    return TrainingLoad(num_steps=steps, rows=rows / batches, pairs=pairs / batches)


def _draw(quantiles: Quantiles, rng: random.Random) -> float:
    """Draw from the distribution with these quantiles, linear between them."""
    share = rng.random()
    index = max(1, bisect_left(quantiles, (share, 0.0)))
    (low, least), (high, most) = quantiles[index - 1], quantiles[min(index, len(quantiles) - 1)]
    return least + (most - least) * (share - low) / (high - low) if high > low else most
