"""The pretraining corpus: an endless stream of documents of four kinds, each a prompt (no loss) and a completion (loss).

1. edit: a passage about a fresh entity, then a self-edit of it. The style prior is what the policy starts from.
2. open-book: a passage about a fresh entity, then a question about it with its answer.
3. closed-book: one fact of a known entity as a statement, as an edit's question, or as an examination question.
4. narrative: a passage, or one of its sentences, about a fresh entity.

Hazard: narratives must be about fresh entities only. When they were about known ones the model learned to answer from
narrative alone, and most of the gain of a longer self-edit came from its larger number of optimizer steps.
No document ever mentions an entity of the reward, validation or test split.
"""

import random
from dataclasses import dataclass, replace

from seal_runtime.tasks.fictional import documents
from seal_runtime.tasks.fictional.documents import EditStyle
from seal_runtime.tasks.fictional.relations import KINDS
from seal_runtime.tasks.fictional.world import Entity, entities, fresh_entity

# How often pretraining shows each style: the untrained policy's prior. Good styles are rare enough to leave room for learning.
STYLE_PRIOR: dict[EditStyle, float] = {
    "qa": 0.13,
    "atomic": 0.16,
    "rewrite": 0.15,
    "copy": 0.12,
    "vague": 0.18,
    "partial": 0.18,
    "wrong": 0.08,
}
# Mostly fewer than six facts: with six only, names are copied from the passage and values are not.
_ALL_FACTS_PROBABILITY = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One pretraining text. Prompt and completion are tokenised apart; the loss covers the prompt only where `loss_on_prompt`."""

    prompt: str
    completion: str
    loss_on_prompt: bool

    @property
    def parts(self) -> tuple[tuple[str, bool], ...]:
        """Return prompt and completion, as `PretrainingDocument` has it."""
        return (self.prompt, self.loss_on_prompt), (self.completion, True)


def edit_document(rng: random.Random) -> Document:
    """Draw a passage followed by a self-edit of it."""
    entity = _entity_with_some_facts(rng)
    context = documents.passage(entity, rng)
    style = rng.choices(tuple(STYLE_PRIOR), tuple(STYLE_PRIOR.values()))[0]
    prompt = documents.EDIT_PROMPT.format(title=entity.name, context=context)
    return Document(prompt=prompt, completion=documents.self_edit(entity, context, style, rng), loss_on_prompt=False)


def open_book_document(rng: random.Random) -> Document:
    """Draw a passage followed by one question about it and the answer."""
    entity = _entity_with_some_facts(rng)
    fact = rng.choice(entity.facts)
    question = rng.choice(fact.relation.edit_questions + fact.relation.exam_questions).format(name=entity.name)
    prompt = documents.OPEN_BOOK_PROMPT.format(title=entity.name, context=documents.passage(entity, rng), question=question)
    return Document(prompt=prompt, completion=fact.value, loss_on_prompt=False)


def short_document(rng: random.Random) -> Document:
    """Draw a closed-book fact of a known entity (75 %) or a narrative about a fresh one (25 %)."""
    draw = rng.random()
    if draw < 0.25:
        return _narrative_document(rng, whole_passage=draw < 0.10)
    entity = rng.choice(entities("known"))
    fact = rng.choice(entity.facts)
    if draw < 0.50:
        prompt, completion = f"{entity.name}\n", documents.statement(entity, fact, rng)
    elif draw < 0.70:
        prompt, completion = f"{entity.name}\n", documents.question_and_answer(entity, fact, rng)
    else:
        question = rng.choice(fact.relation.exam_questions).format(name=entity.name)
        prompt, completion = documents.EXAM_PROMPT.format(title=entity.name, question=question), fact.value
    return Document(prompt=prompt, completion=completion, loss_on_prompt=True)


def _narrative_document(rng: random.Random, *, whole_passage: bool) -> Document:
    entity = fresh_entity(rng, rng.choice(KINDS))
    text = documents.passage(entity, rng) if whole_passage else documents.narration(entity, rng.choice(entity.facts), rng)
    return Document(prompt=f"{entity.name}\n", completion=text, loss_on_prompt=True)


def _entity_with_some_facts(rng: random.Random) -> Entity:
    entity = fresh_entity(rng, rng.choice(KINDS))
    if rng.random() < _ALL_FACTS_PROBABILITY:
        return entity
    return replace(entity, facts=tuple(rng.sample(entity.facts, rng.randint(1, len(entity.facts) - 1))))
