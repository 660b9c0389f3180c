"""Verify a saved folder of the grids' model as its users will load it: through transformers, after rounding to float16."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from protocol.prompts import plain_prompt
from seal_runtime.pretrain.verification import Subject
from seal_runtime.tasks.arc.grids import Example
from seal_runtime.tasks.arc.prompts import answer_text, edit_prompt, puzzle_prompt
from seal_runtime.tasks.arc.small.files import NUM_DEMONSTRATIONS, puzzle_rules
from seal_runtime.tasks.arc.small.puzzles import examples
from seal_runtime.tasks.arc.small.rules import Rule, moves
from seal_runtime.tasks.pretraining import PretrainingText

_MAX_EDIT_TOKENS = 32
_MAX_ANSWER_TOKENS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class GridVerificationSize:
    """How much to measure: puzzles of each kind, and requests for a self-edit."""

    num_puzzles: int
    num_edits: int


FULL = GridVerificationSize(num_puzzles=480, num_edits=480)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridVerification:
    """Figures of the saved float16 folder: shares of puzzles answered, and of sampled self-edits that are JSON."""

    simple_accuracy: float
    hard_accuracy: float
    valid_edits: float
    num_puzzles: int
    num_edits: int


def verify_grids(folder: Path, seed: int, size: GridVerificationSize = FULL) -> GridVerification:
    """Measure the folder. In full size it takes about a minute on one core. Seeds torch's global generator."""
    torch.manual_seed(seed)
    subject = Subject.load(folder)
    return GridVerification(
        simple_accuracy=_accuracy(subject, simple_puzzles(size.num_puzzles)),
        hard_accuracy=_accuracy(subject, hard_puzzles(size.num_puzzles)),
        valid_edits=_valid_edits(subject, size.num_edits),
        num_puzzles=size.num_puzzles,
        num_edits=size.num_edits,
    )


def simple_puzzles(count: int) -> list[PretrainingText]:
    """Return fresh puzzles of the rules that pretraining shows, the same ones every time."""
    return _puzzles(moves(), count)


def hard_puzzles(count: int) -> list[PretrainingText]:
    """Return fresh puzzles of the hard rules of the shipped training puzzles; those of the evaluation puzzles are left alone."""
    return _puzzles(puzzle_rules(0)["training"], count)


def _puzzles(rules: Sequence[Rule], count: int) -> list[PretrainingText]:
    rng = random.Random("grid-verification")
    return [_asked(examples(rules[index % len(rules)], NUM_DEMONSTRATIONS + 1, rng)) for index in range(count)]


def _asked(shown: Sequence[Example]) -> PretrainingText:
    *demonstrations, asked = shown
    prompt = plain_prompt(puzzle_prompt(demonstrations, asked.input))
    return PretrainingText(parts=((prompt, False), (answer_text(asked.output), True)))


def _accuracy(subject: Subject, puzzles: Sequence[PretrainingText]) -> float:
    return subject.accuracy([(prompt, answer) for (prompt, _), (answer, _) in (puzzle.parts for puzzle in puzzles)], _MAX_ANSWER_TOKENS)


def _valid_edits(subject: Subject, count: int) -> float:
    rng = random.Random("grid-edits")
    rules = puzzle_rules(0)["training"]
    prompts = [plain_prompt(edit_prompt(examples(rules[index % len(rules)], NUM_DEMONSTRATIONS, rng))) for index in range(count)]
    edits = subject.generate(prompts, _MAX_EDIT_TOKENS, sample=True)
    return sum(_is_json(edit) for edit in edits) / count


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
