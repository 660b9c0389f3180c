"""Knowledge incorporation from passages in a SQuAD format (SEAL, section 4.2): prompts, parsing and splits.

Splits by position, after `limit`: passages 1, 5, 9, ... are `test`, 2, 6, 10, ... `validation`, all others `reward`.
Passages of the same context were made one before, so the splits share none. The data is read when instances are first
asked for: an evaluator on another host grades without it.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property

from protocol.jobs import Question, TrainingSequence
from seal_runtime.config.judge import JudgeConfig
from seal_runtime.errors import DataError, EditParseError
from seal_runtime.tasks.base import Instance, Split
from seal_runtime.tasks.data_files import read_rows
from seal_runtime.tasks.graders import JudgeGrader, make_grader
from seal_runtime.tasks.passages import Passage, passages_of
from seal_runtime.tasks.prompts import answer_prompt, edit_prompt

MIN_PASSAGES = 3

_QUESTION = re.compile(r"Question\s+\d+:")
_ANSWER = re.compile(r"Answer\s*:")
_LINE_BEFORE_QUESTION = re.compile(r"\n(?=Question\s+\d+:)")
_SPLIT_OF_REMAINDER: dict[int, Split] = {0: "test", 1: "validation", 2: "reward", 3: "reward"}


class SquadTask:
    """Passages and questions from a file or a hub data set."""

    def __init__(
        self, *, data: str, limit: int | None, prompt: str, split_newlines: bool, grader: str, judge: JudgeConfig | None = None
    ) -> None:
        self._data = data
        self._limit = limit
        self._prompt = prompt
        self._split_newlines = split_newlines
        self._grade = make_grader(grader, judge or JudgeConfig())

    def instances(self, split: Split) -> Sequence[Instance]:
        """Return the passages of a split in file order. Raises DataError when the data is missing, malformed or too little."""
        return self._splits[split]

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Return `{title}\\n{segment}` for every segment of the edit, and last `{title}\\n{context}`.

        An edit without text is the passage-only control. Raises EditParseError for text that cannot be encoded or printed.
        """
        _check_edit(edit)
        segments = [*edit_segments(edit, split_newlines=self._split_newlines), instance.context]
        return tuple(TrainingSequence(prompt="", completion=f"{instance.title}\n{segment}", weight=1.0) for segment in segments)

    def document_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Return `{title}\\n{edit}`, the whole edit as one document, and `{title}\\n{context}`, as the paper's continued pretraining does.

        An edit without text gives the context alone. Raises EditParseError for text that cannot be encoded or printed.
        """
        _check_edit(edit)
        documents = [text for text in (edit.strip(), instance.context) if text]
        return tuple(TrainingSequence(prompt="", completion=f"{instance.title}\n{text}", weight=1.0) for text in documents)

    def grade(self, question: Question, answer: str) -> float:
        """Return the grade in [0, 1] that the grader gives (`seal_runtime.tasks.graders`). Raises GradeError where there is no verdict."""
        return self._grade(question, answer)

    def close(self) -> None:
        """Have a judge log its cost. Idempotent."""
        if isinstance(self._grade, JudgeGrader):
            self._grade.close()

    @cached_property
    def _splits(self) -> dict[Split, tuple[Instance, ...]]:
        passages = passages_of(read_rows(self._data))[: self._limit]
        if len(passages) < MIN_PASSAGES:
            raise DataError(f"{self._data}: expected at least {MIN_PASSAGES} passages, one for each split, got {len(passages)}; add some")
        splits: dict[Split, list[Instance]] = {"reward": [], "validation": [], "test": []}
        for index, passage in enumerate(passages):
            splits[_SPLIT_OF_REMAINDER[index % 4]].append(_instance(passage, self._prompt))
        return {split: tuple(instances) for split, instances in splits.items()}


def edit_segments(edit: str, *, split_newlines: bool) -> list[str]:
    """Cut a self-edit into training segments as the published code does (SEAL, appendix B); none for an edit without text.

    `---` separates segments. With `split_newlines` an edit of numbered questions and answers is cut before every
    `Question <n>:` instead, and any other edit is cut into lines; a first line before one that starts with `1.` is a
    preamble and dropped.
    """
    if split_newlines and _QUESTION.search(edit) and _ANSWER.search(edit):
        first, *others = _LINE_BEFORE_QUESTION.split(edit.strip())
        # The self-qa prompt ends in "Question 1: ", so the edit begins in the middle of that question.
        opening = first if first.startswith("Question") else f"Question 1: {first.strip()}"
        return [opening, *others]
    segments = [segment.strip() for segment in edit.split("---") if segment.strip()]
    if not segments and edit.strip():
        # An edit of dashes alone stays one segment, itself.
        segments = [edit.strip()]
    if not split_newlines:
        return segments
    lines = [line.strip() for segment in segments for line in segment.splitlines() if line.strip()]
    return lines[1:] if len(lines) > 1 and lines[1].startswith("1.") else lines


def _instance(passage: Passage, prompt: str) -> Instance:
    # The context alone is unique: passages of one context were made one.
    instance_id = "passage-" + hashlib.sha256(passage.context.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    questions = tuple(
        Question(question_id=f"{instance_id}.q{index}", prompt=answer_prompt(passage.title, asked.question), answers=asked.answers)
        for index, asked in enumerate(passage.questions)
    )
    return Instance(
        instance_id=instance_id,
        title=passage.title,
        context=passage.context,
        prompt=edit_prompt(prompt, passage.title, passage.context),
        questions=questions,
    )


def _check_edit(edit: str) -> None:
    try:
        edit.encode()
    except UnicodeEncodeError as error:
        raise EditParseError(f"expected a self-edit of Unicode text, got a lone surrogate at character {error.start}") from None
    if "\x00" in edit:
        raise EditParseError("expected a self-edit of text, got one with a NUL character; the sample is unusable")
    if edit.strip() and not any(character.isprintable() and not character.isspace() for character in edit):
        raise EditParseError("expected a self-edit with printable text, got control characters only; the sample is unusable")
