"""Splits are disjoint by construction and by content; the world is the same on every machine."""

import random
from itertools import combinations

import pytest

from seal_runtime.tasks.base import SPLITS
from seal_runtime.tasks.fictional import FictionalWorldTask, corpus, documents, split_fingerprints
from seal_runtime.tasks.fictional.relations import KINDS, SCHEMA
from seal_runtime.tasks.fictional.world import WORLD_SPLITS, entities, names_of_kind, split_of

FINITE_SPLITS = tuple(split for split in WORLD_SPLITS if split != "fresh")


def test_split_contents_are_pinned():
    assert split_fingerprints() == {
        "reward": "92b7405f81fe2f261b6defc81b16a1eba3059cdd003993a1977c61d8cf9685dd",
        "validation": "dbd1872cadca7b6cf8acd20cb6689e6de2eac0502cc52a066e6c19f3721bea6d",
        "test": "897f3e7f39e56b1aec34110394024355a34436c71051eafe5ccca479ca19d7e3",
    }


def test_split_of_a_name_is_a_stable_hash():
    assert [split_of(name) for name in ("Astrid Garrick", "Silver Ferry", "Laurel House")] == ["validation"] * 3


def test_every_name_is_in_the_split_that_its_hash_says():
    for split in FINITE_SPLITS:
        assert {split_of(entity.name) for entity in entities(split)} == {split}


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_a_kind_are_partitioned(kind):
    names = {split: set(names_of_kind(kind, split)) for split in WORLD_SPLITS}
    assert all(names[one].isdisjoint(other) for one, other in combinations(names, 2))
    assert all(len(names[split]) >= 24 for split in WORLD_SPLITS)


def test_sizes():
    assert {split: len(entities(split)) for split in FINITE_SPLITS} == {"known": 300, "reward": 168, "validation": 72, "test": 72}


def test_every_prefix_of_a_split_is_balanced_over_the_kinds():
    for split in FINITE_SPLITS:
        assert [entity.kind for entity in entities(split)[:6]] == [*KINDS, *KINDS]


def test_instances_of_the_splits_share_nothing():
    task = FictionalWorldTask()
    for one, other in combinations(SPLITS, 2):
        for key in ("instance_id", "title", "context", "prompt"):
            left, right = ({getattr(instance, key) for instance in task.instances(split)} for split in (one, other))
            assert left.isdisjoint(right)
            assert len(left) == len(task.instances(one))


def test_pretraining_never_mentions_a_held_out_entity():
    held_out = {entity.name for split in SPLITS for entity in entities(split)}
    rng = random.Random(11)
    for draw in (corpus.edit_document, corpus.open_book_document, corpus.short_document):
        for _ in range(2000):
            document = draw(rng)
            title = _title(document)
            assert split_of(title) in ("known", "fresh")
            assert title not in held_out


def test_narratives_are_about_fresh_entities_and_questions_about_known_ones():
    rng = random.Random(12)
    narratives = {
        template.format(subject=subject, Subject=subject[0].upper() + subject[1:], value="VALUE").split("VALUE")[0]
        for kind in KINDS
        for relation in SCHEMA[kind]
        for template in relation.narrations
        for subject in ("she", "he", "the town", "the company")
    }
    for _ in range(3000):
        document = corpus.short_document(rng)
        narrative = document.completion.startswith(("This is ", *narratives))
        assert split_of(_title(document)) == ("fresh" if narrative else "known")


def test_exam_phrasings_are_used_by_no_edit_and_no_passage():
    exam = {template for kind in KINDS for relation in SCHEMA[kind] for template in relation.exam_questions}
    taught = [
        template
        for kind in KINDS
        for relation in SCHEMA[kind]
        for template in relation.narrations + relation.statements + relation.edit_questions
    ]
    assert exam.isdisjoint(taught)
    assert len(exam) == 2 * 6 * len(KINDS)


def test_style_prior_is_a_distribution_over_the_seven_styles():
    assert set(corpus.STYLE_PRIOR) == set(documents.EDIT_STYLES)
    assert sum(corpus.STYLE_PRIOR.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("style", documents.EDIT_STYLES)
def test_written_styles_are_recognised(style):
    rng = random.Random(13)
    for entity in entities("validation")[:12]:
        context = documents.passage(entity, rng)
        assert documents.recognise_style(entity, context, documents.self_edit(entity, context, style, rng)) == style


def test_no_style_is_recognised_in_unrelated_or_empty_text():
    entity = entities("validation")[0]
    context = documents.passage(entity, random.Random(0))
    assert documents.recognise_style(entity, context, "") is None
    mixture = documents.self_edit(entity, context, "atomic", random.Random(0)) + "\nSomething else."
    assert documents.recognise_style(entity, context, mixture) is None


def _title(document: corpus.Document) -> str:
    text = document.prompt
    for lead in ("Passage:\n", "Topic: "):
        if lead in text:
            text = text.split(lead, 1)[1]
    return text.split("\n", 1)[0]
