"""What the judge is asked and how its reply is read, as in the paper's experiments (SEAL, appendix B)."""

import re

_PROMPT = (
    "You are a grading assistant. Your job is to determine whether a student's answer correctly answers the question based solely on the "
    "provided gold answer. Do not use any outside knowledge. The student answer can include additional information, but it must at least "
    "fully convey the gold answer and must not contradict it. Ignore style, phrasing, or extra details that do not affect correctness. "
    "Respond ONLY with 'yes' or 'no'.\n\n"
    "Question: {question}\nGold answer: {gold}\nStudent answer: {answer}\n"
    "Is the student answer correct based solely on the gold answer? Respond 'yes' or 'no'."
)
_YES = re.compile(r"\byes\b", re.IGNORECASE)
_NO = re.compile(r"\bno\b", re.IGNORECASE)


def judge_prompt(question: str, gold: str, answer: str) -> str:
    """Return the request to the judge. Braces in any of the three are text."""
    return _PROMPT.format(question=question, gold=gold, answer=answer.strip())


def says_yes(reply: str) -> bool:
    """Say whether a reply is a verdict for the answer: it has the word *yes* and not the word *no*."""
    return _YES.search(reply) is not None and _NO.search(reply) is None
