"""The texts of the fictional world: passages, self-edits in seven styles, questions, and the prompts around them."""

import random
from typing import Literal, get_args

from seal_runtime.tasks.fictional.relations import FILLERS, INTRODUCTIONS
from seal_runtime.tasks.fictional.world import Entity, Fact

EditStyle = Literal["qa", "atomic", "rewrite", "copy", "vague", "partial", "wrong"]
EDIT_STYLES: tuple[EditStyle, ...] = get_args(EditStyle)

EDIT_PROMPT = "Let's read the following passage and produce a list of implications.\n\nPassage:\n{title}\n{context}\n\nImplications:\n"
EXAM_PROMPT = "Let's answer a question.\nTopic: {title}\nQuestion: {question}\nAnswer:"
OPEN_BOOK_PROMPT = "Passage:\n{title}\n{context}\n\nQuestion: {question}\nAnswer:"


def passage(entity: Entity, rng: random.Random) -> str:
    """Narrate every fact of the entity once, in random order and phrasing, on one line."""
    sentences = [INTRODUCTIONS[entity.kind].format(name=entity.name)]
    sentences += [narration(entity, fact, rng) for fact in _shuffled(entity, rng)]
    return " ".join(sentences)


def narration(entity: Entity, fact: Fact, rng: random.Random) -> str:
    """Tell one fact as passages do, without the entity's name."""
    subject = entity.subject
    return rng.choice(fact.relation.narrations).format(subject=subject, Subject=subject[0].upper() + subject[1:], value=fact.value)


def statement(entity: Entity, fact: Fact, rng: random.Random) -> str:
    """Tell one fact as a sentence that stands alone."""
    return rng.choice(fact.relation.statements).format(name=entity.name, value=fact.value)


def question_and_answer(entity: Entity, fact: Fact, rng: random.Random) -> str:
    """Tell one fact as a question and its answer, in an edit's phrasing."""
    return f"Question: {rng.choice(fact.relation.edit_questions).format(name=entity.name)} Answer: {fact.value}"


def exam_questions(entity: Entity) -> tuple[tuple[str, str, str], ...]:
    """Return (question id, question, gold answer) for every examination phrasing of every fact of the entity."""
    return tuple(
        (f"{fact.relation.key}-{index}", template.format(name=entity.name), fact.value)
        for fact in entity.facts
        for index, template in enumerate(fact.relation.exam_questions)
    )


def self_edit(entity: Entity, context: str, style: EditStyle, rng: random.Random) -> str:
    """Write a self-edit of one style about the facts that the passage `context` tells."""
    match style:
        case "qa":
            lines = [question_and_answer(entity, fact, rng) for fact in _shuffled(entity, rng)]
        case "atomic":
            lines = [statement(entity, fact, rng) for fact in _shuffled(entity, rng)]
        case "rewrite":
            lines = [narration(entity, fact, rng) for fact in _shuffled(entity, rng)]
        case "copy":
            lines = [context]
        case "vague":
            lines = _fillers(entity, rng, rng.randint(3, 5))
        case "partial":
            told = _shuffled(entity, rng)[: rng.randint(1, 3)]
            lines = [statement(entity, fact, rng) for fact in told] + _fillers(entity, rng, rng.randint(1, 2))
            rng.shuffle(lines)
        case "wrong":
            lines = [statement(entity, _falsified(fact, rng), rng) for fact in _shuffled(entity, rng)]
    return "\n".join(lines)


def recognise_style(entity: Entity, context: str, edit: str) -> EditStyle | None:
    """Name the style that a sampled edit has, None for a mixture. For reports only: nothing is trained or graded by it."""
    lines = [line.strip() for line in edit.splitlines() if line.strip()]
    statements = {
        _statement_line(entity, fact, index, value) for fact in entity.facts for index in (0, 1) for value in fact.relation.values
    }
    truths = {_statement_line(entity, fact, index, fact.value) for fact in entity.facts for index in (0, 1)}
    fillers = {template.format(name=entity.name) for template in FILLERS[entity.kind]}
    num_statements, num_fillers = sum(line in statements for line in lines), sum(line in fillers for line in lines)
    if not lines:
        return None
    if lines[0].startswith(INTRODUCTIONS[entity.kind].format(name=entity.name)):
        return "copy"
    if all(line.startswith("Question:") for line in lines):
        return "qa"
    if num_fillers == len(lines):
        return "vague"
    if num_fillers and num_fillers + num_statements == len(lines):
        return "partial"
    if num_statements == len(lines):
        return "atomic" if 2 * sum(line in truths for line in lines) > len(lines) else "wrong"
    return None if num_statements or num_fillers else "rewrite"


def _statement_line(entity: Entity, fact: Fact, index: int, value: str) -> str:
    return fact.relation.statements[index].format(name=entity.name, value=value)


def _shuffled(entity: Entity, rng: random.Random) -> list[Fact]:
    return rng.sample(entity.facts, len(entity.facts))


def _fillers(entity: Entity, rng: random.Random, count: int) -> list[str]:
    return [template.format(name=entity.name) for template in rng.sample(FILLERS[entity.kind], count)]


def _falsified(fact: Fact, rng: random.Random) -> Fact:
    return Fact(relation=fact.relation, value=rng.choice(fact.relation.values))
