"""Turn rows of any of the SQuAD layouts into passages with questions; a malformed row is named with its field.

Layouts: one passage a row (`title, context, questions: [{question, answer | answers}]`), one question a row as on the hub
(`title, context, question, answers: {text: [...]}`), one article a row as in the official files (`title, paragraphs`).
Rows of the same context become one passage. Unanswerable questions (SQuAD 2) are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seal_runtime.config.yaml_source import describe
from seal_runtime.errors import DataError
from seal_runtime.tasks.data_files import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageQuestion:
    """A question as people ask it and its accepted answers, none twice."""

    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A passage and every question that the data asks about it."""

    title: str
    context: str
    questions: tuple[PassageQuestion, ...]


def passages_of(rows: Sequence[Row]) -> list[Passage]:
    """Return the passages in the order of their first row. Raises DataError for a row that has none of the layouts."""
    titles: dict[str, str] = {}
    questions: dict[str, list[PassageQuestion]] = {}
    for row in rows:
        for location, title, context, question in _records(row):
            titles.setdefault(context, title)
            known = questions.setdefault(context, [])
            text, answers = _field(question, "question", location), _answers(question, location)
            if answers and all(other.question != text for other in known):
                known.append(PassageQuestion(question=text, answers=answers))
    return [Passage(title=titles[context], context=context, questions=tuple(asked)) for context, asked in questions.items() if asked]


def _records(row: Row) -> Iterator[tuple[str, str, str, dict[str, object]]]:
    """Yield (location, title, context, question) for every question of a row."""
    value = _mapping(row.value, row.location)
    title = _field(value, "title", row.location)
    if "paragraphs" in value:
        for index, item in enumerate(_list(value, "paragraphs", row.location)):
            location = f"{row.location}, paragraphs[{index}]"
            paragraph = _mapping(item, location)
            yield from _asked(paragraph, "qas", location, title)
    elif "questions" in value:
        yield from _asked(value, "questions", row.location, title)
    elif "question" in value:
        yield row.location, title, _field(value, "context", row.location), value
    else:
        raise DataError(
            f"{row.location}: expected a field questions (a list), question or paragraphs, got only {', '.join(map(str, value))}; "
            "the format is shown in examples/data/passages.json"
        )


def _asked(holder: dict[str, object], key: str, location: str, title: str) -> Iterator[tuple[str, str, str, dict[str, object]]]:
    context = _field(holder, "context", location)
    items = _list(holder, key, location)
    if not items:
        raise DataError(f"{location}, field {key}: expected at least one question, got an empty list; drop the passage or ask something")
    for index, item in enumerate(items):
        place = f"{location}, {key}[{index}]"
        yield place, title, context, _mapping(item, place)


def _answers(question: dict[str, object], location: str) -> tuple[str, ...]:
    """Return the accepted answers; none for a question that is marked as unanswerable."""
    if question.get("is_impossible") is True:
        return ()
    if "answer" in question:
        return (_field(question, "answer", location),)
    given = question.get("answers")
    if isinstance(given, dict):
        # The hub's layout; an empty list is how SQuAD 2 marks a question without answer there.
        return _distinct([_text(text, f"{location}, field answers.text") for text in _list(given, "text", f"{location}, field answers")])
    if not isinstance(given, list | tuple) or not given:
        raise DataError(f"{location}: expected a field answer (text) or answers (a list that is not empty), got {describe(given)}")
    texts = [item.get("text") if isinstance(item, dict) else item for item in given]
    return _distinct([_text(text, f"{location}, field answers[{index}]") for index, text in enumerate(texts)])


def _distinct(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _mapping(value: object, location: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise DataError(f"{location}: expected an object with fields, got {describe(value)}")
    return value


def _list(holder: dict[str, object], key: str, location: str) -> list[object]:
    value = holder.get(key)
    if not isinstance(value, list | tuple):
        raise DataError(f"{location}, field {key}: expected a list, got {describe(value)}")
    return list(value)


def _field(holder: dict[str, object], key: str, location: str) -> str:
    return _text(holder.get(key), f"{location}, field {key}")


def _text(value: object, location: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{location}: expected text that is not empty, got {describe(value)}")
    return value.strip()
