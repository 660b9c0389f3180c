"""The prompts of the paper's knowledge-incorporation experiments (SEAL, appendix B), letter for letter."""

from collections.abc import Mapping
from types import MappingProxyType

_IMPLICATIONS = (
    "Let's read the following passage and produce {amount} of implications derived directly or indirectly from the content.\n\n"
    "Passage:\n{title}\n{context}\n\nImplications:\n"
)
_REWRITE = (
    "Let's read the following passage and rewrite it in a few different ways, each one separated by a newline.\n\n"
    "Passage:\n{title}\n{context}\n\nRewritten passages:\n"
)
_SELF_QA = "Let's read the following passage and rewrite it in a question-answer format.\n\nPassage:\n{title}\n{context}\n\nQuestion 1: "
_ANSWERING = "Let's answer a question directly and concisely.\nQuestion: {question}\nAnswer:\n"

EDIT_PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "implications": _IMPLICATIONS.replace("{amount}", "a list"),
        "implications-long": _IMPLICATIONS.replace("{amount}", "a long list"),
        "implications-very-long": _IMPLICATIONS.replace("{amount}", "a very long list"),
        "rewrite": _REWRITE,
        "self-qa": _SELF_QA,
    }
)


def edit_prompt(style: str, title: str, context: str) -> str:
    """Return the prompt that asks for a self-edit. Braces in the title or context are text."""
    return EDIT_PROMPTS[style].format(title=title, context=context)


def answer_prompt(title: str, question: str) -> str:
    """Return the prompt that asks a question without its passage; the title says what it is about."""
    return question_prompt(f"Topic: {title}\n{question}")


def question_prompt(question: str) -> str:
    """Return the prompt that asks a question as it stands. Braces in it are text."""
    return _ANSWERING.format(question=question)


def asked_question(prompt: str) -> str:
    """Return the question in a prompt that `answer_prompt` made, topic included; any other prompt is returned whole."""
    before, _, after = _ANSWERING.partition("{question}")
    return prompt.removeprefix(before).removesuffix(after) if prompt.startswith(before) and prompt.endswith(after) else prompt
