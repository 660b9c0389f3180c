"""Grade an answer against gold answers by text alone: SQuAD's normalisation, then equality or containment.

Containment stands in for the paper's model grader, with which it agrees on 84-88 % of the published answers; equality
finds only a few per cent of an untuned model's answers right. One departure from plain containment: a gold answer that
begins or ends with a digit must not continue in digits, so that "5" is not found in "1945".
"""

import re
import string
from collections.abc import Sequence
from typing import Literal

Grader = Literal["contains", "exact"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower the case, drop ASCII punctuation and English articles, and squeeze white space (SQuAD v1.1 evaluation script)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def grade_text(grader: Grader, answer: str, gold_answers: Sequence[str]) -> float:
    """Return 1.0 when the answer equals or contains one of the gold answers, else 0.0. An empty answer is wrong."""
    return float(any(_matches(grader, answer, gold) for gold in gold_answers))


def _matches(grader: Grader, answer: str, gold: str) -> bool:
    given, wanted = normalise(answer), normalise(gold)
    if not wanted:
        # A gold answer such as "A" or "%" vanishes in normalisation: compare the plain words instead.
        given, wanted = " ".join(answer.lower().split()), " ".join(gold.lower().split())
        return bool(wanted) and (given == wanted if grader == "exact" else wanted in given.split())
    if not given:
        return False
    if grader == "exact":
        return given == wanted
    before = r"(?<!\d)" if wanted[0].isdigit() else ""
    after = r"(?!\d)" if wanted[-1].isdigit() else ""
    return re.search(before + re.escape(wanted) + after, given) is not None
