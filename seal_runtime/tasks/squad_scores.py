"""Exact match and F1 of an answer, by the rules of SQuAD's official evaluation script (v1.1): the best over the gold answers.

Unlike the other text graders these follow the script to the letter: an answer that normalisation leaves empty equals a gold answer
that it leaves empty too ("the"), and F1 counts tokens as often as they occur in both.
"""

from collections import Counter
from collections.abc import Sequence

from seal_runtime.tasks.grading import normalise


def exact_match(answer: str, gold_answers: Sequence[str]) -> float:
    """Return 1.0 when the normalised answer equals a normalised gold answer, else 0.0."""
    given = normalise(answer)
    return float(any(given == normalise(gold) for gold in gold_answers))


def f1(answer: str, gold_answers: Sequence[str]) -> float:
    """Return the highest F1 of the answer's tokens with those of a gold answer, in [0, 1]."""
    given = normalise(answer).split()
    return max((_f1(given, normalise(gold).split()) for gold in gold_answers), default=0.0)


def _f1(given: list[str], wanted: list[str]) -> float:
    num_same = (Counter(given) & Counter(wanted)).total()
    if num_same == 0:
        return 0.0
    precision, recall = num_same / len(given), num_same / len(wanted)
    return 2 * precision * recall / (precision + recall)
