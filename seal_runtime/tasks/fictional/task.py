"""The built-in knowledge-incorporation task: learn a passage about a made-up entity from one's own self-edit.

The entities of the three splits never occur in the pretraining corpus. Questions come without the passage, in phrasings
that no edit uses; every gold answer is one word, so the grade is exact match after normalisation.
"""

import hashlib
from collections.abc import Sequence
from functools import cache

from protocol.jobs import Question, TrainingSequence
from seal_runtime.errors import EditParseError
from seal_runtime.tasks.base import SPLITS, Instance, Split
from seal_runtime.tasks.fictional import documents
from seal_runtime.tasks.fictional.world import Entity, entities, seeded_random

# The longest honest edit has six lines; the cap bounds what a rambling one may cost. Later lines are dropped.
MAX_EDIT_LINES = 16
# An edit longer than this is no self-edit of a 60-word passage but runaway generation.
MAX_EDIT_CHARACTERS = 20_000
NUM_RETENTION_QUESTIONS = 120


class FictionalWorldTask:
    """Passages about fictional entities, twelve questions each. Stateless; two objects are interchangeable."""

    def instances(self, split: Split) -> Sequence[Instance]:
        """Return the instances of a split: 168 reward, 72 validation, 72 test; people, towns and companies in turn."""
        return _instances(split)

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Return one sequence a line of the edit, title in front, and last the passage itself.

        An edit without text is the passage-only control. At most 16 lines are used, the first ones.
        Raises EditParseError for an edit that holds no printable text, holds a NUL, or is longer than 20,000 characters.
        """
        _check_edit(edit)
        lines = [line.strip() for line in edit.split("\n") if line.strip()][:MAX_EDIT_LINES]
        return tuple(
            TrainingSequence(prompt="", completion=f"{instance.title}\n{segment}", weight=1.0) for segment in (*lines, instance.context)
        )

    def grade(self, question: Question, answer: str) -> float:
        """Return 1.0 when the answer equals a gold answer but for case, outer white space and trailing punctuation, else 0.0."""
        return float(_normalised(answer) in {_normalised(gold) for gold in question.answers})

    def scripted_edit(self, instance: Instance) -> str:
        """Return all six facts in the question-and-answer style, the same text for the same instance every time."""
        entity = _entity_of(instance)
        return documents.self_edit(entity, instance.context, "qa", seeded_random("scripted", entity.name))

    def retention_questions(self) -> tuple[Question, ...]:
        """Return 120 examination questions about entities that pretraining taught, one for each of as many entities."""
        questions = []
        for index, entity in enumerate(entities("known")[:NUM_RETENTION_QUESTIONS]):
            exam = _questions(entity)
            questions.append(exam[index // 3 % len(exam)])
        return tuple(questions)


def split_fingerprints() -> dict[Split, str]:
    """Return the SHA-256 of everything that each split contains; a test pins them."""
    return {split: hashlib.sha256(_canonical_text(_instances(split)).encode()).hexdigest() for split in SPLITS}


def entity_slug(entity: Entity) -> str:
    """Return the name as an identifier, such as `person-adela-winslow`."""
    return f"{entity.kind}-{entity.name.lower().replace(' ', '-')}"


@cache
def _instances(split: Split) -> tuple[Instance, ...]:
    return tuple(_instance(entity) for entity in entities(split))


def _instance(entity: Entity) -> Instance:
    context = documents.passage(entity, seeded_random("passage", entity.name))
    prompt = documents.EDIT_PROMPT.format(title=entity.name, context=context)
    return Instance(instance_id=entity_slug(entity), title=entity.name, context=context, prompt=prompt, questions=_questions(entity))


def _questions(entity: Entity) -> tuple[Question, ...]:
    return tuple(
        Question(
            question_id=f"{entity_slug(entity)}.{key}",
            prompt=documents.EXAM_PROMPT.format(title=entity.name, question=text),
            answers=(gold,),
        )
        for key, text, gold in documents.exam_questions(entity)
    )


@cache
def _entities_by_name() -> dict[str, Entity]:
    return {entity.name: entity for split in SPLITS for entity in entities(split)}


def _entity_of(instance: Instance) -> Entity:
    entity = _entities_by_name().get(instance.title)
    if entity is None:
        raise ValueError(
            f"expected an instance of the fictional world, got title {instance.title!r}; use FictionalWorldTask().instances(...)"
        )
    return entity


def _check_edit(edit: str) -> None:
    if len(edit) > MAX_EDIT_CHARACTERS:
        raise EditParseError(
            f"expected a self-edit of at most {MAX_EDIT_CHARACTERS} characters, got {len(edit)}; lower proposer max_new_tokens"
        )
    if "\x00" in edit:
        raise EditParseError("expected a self-edit of text, got one with a NUL character; the sample is unusable")
    if edit.strip() and not any(character.isprintable() and not character.isspace() for character in edit):
        raise EditParseError("expected a self-edit with printable text, got control characters only; the sample is unusable")


def _normalised(answer: str) -> str:
    return answer.strip().casefold().rstrip(".,;:!?\"' ").strip()


def _canonical_text(instances: Sequence[Instance]) -> str:
    parts = [part for instance in instances for part in (instance.instance_id, instance.title, instance.context, instance.prompt)]
    parts += [
        part
        for instance in instances
        for question in instance.questions
        for part in (question.question_id, question.prompt, *question.answers)
    ]
    return "\x1e".join(parts)
