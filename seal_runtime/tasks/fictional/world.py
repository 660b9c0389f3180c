"""Who exists: entities, their facts, and the split that each name belongs to.

Invariant: the split of an entity is a function of its name alone (a BLAKE2b hash), so no seed, size or order can move a
name from one split to another. Nothing here depends on the clock, on the platform or on PYTHONHASHSEED.
"""

import hashlib
import random
from dataclasses import dataclass
from functools import cache
from typing import Literal

from seal_runtime.tasks.fictional import lexicon
from seal_runtime.tasks.fictional.relations import KINDS, SCHEMA, SUBJECTS, Kind, Relation

WorldSplit = Literal["known", "fresh", "reward", "validation", "test"]
WORLD_SPLITS: tuple[WorldSplit, ...] = ("known", "fresh", "reward", "validation", "test")

# Upper bounds (of 1000) of the hash bucket of each split; the rest is "fresh".
_BUCKETS: tuple[tuple[WorldSplit, int], ...] = (("known", 200), ("reward", 320), ("validation", 390), ("test", 460))
# Entities of each kind in the finite splits, so that every split holds the three kinds in equal parts.
NUM_PER_KIND: dict[WorldSplit, int] = {"known": 100, "reward": 56, "validation": 24, "test": 24}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One relation of one entity and its value."""

    relation: Relation
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A person, town or company. `subject` is how passages refer to it after its first mention."""

    kind: Kind
    name: str
    subject: str
    facts: tuple[Fact, ...]


def split_of(name: str) -> WorldSplit:
    """Return the only split in which an entity of this name may occur."""
    bucket = _digest("split", name) % 1000
    for split, bound in _BUCKETS:
        if bucket < bound:
            return split
    return "fresh"


def seeded_random(*labels: str) -> random.Random:
    """Return a generator whose stream depends on the labels and on nothing else."""
    return random.Random(_digest(*labels))


@cache
def names_of_kind(kind: Kind, split: WorldSplit) -> tuple[str, ...]:
    """Return all names of a kind that the hash assigns to a split, in hash order."""
    first_words, second_words = _NAME_WORDS[kind]
    names = (f"{first} {second}" for first in first_words for second in second_words)
    return tuple(sorted((name for name in names if split_of(name) == split), key=lambda name: _digest("order", name)))


@cache
def entities(split: WorldSplit) -> tuple[Entity, ...]:
    """Return the entities of a finite split; the kinds alternate, so that every prefix is balanced."""
    assert split != "fresh", "fresh entities are drawn without end; use random_entity"
    count = NUM_PER_KIND[split]
    return tuple(
        random_entity(kind, names_of_kind(kind, split)[index], seeded_random("facts", kind, names_of_kind(kind, split)[index]))
        for index in range(count)
        for kind in KINDS
    )


def fresh_entity(rng: random.Random, kind: Kind) -> Entity:
    """Draw a fresh entity: names recur over a long corpus, but each time with other facts, so there is nothing to remember."""
    return random_entity(kind, rng.choice(names_of_kind(kind, "fresh")), rng)


def random_entity(kind: Kind, name: str, rng: random.Random) -> Entity:
    """Give a name one random value of each relation of its kind."""
    facts = tuple(Fact(relation=relation, value=rng.choice(relation.values)) for relation in SCHEMA[kind])
    return Entity(kind=kind, name=name, subject=rng.choice(SUBJECTS[kind]), facts=facts)


def _digest(*labels: str) -> int:
    text = "\x1f".join(("seal-fictional-world", *labels))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


_NAME_WORDS: dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "person": (lexicon.GIVEN_NAMES, lexicon.FAMILY_NAMES),
    "town": (lexicon.TOWN_FIRST_WORDS, lexicon.TOWN_SECOND_WORDS),
    "company": (lexicon.COMPANY_FIRST_WORDS, lexicon.COMPANY_SECOND_WORDS),
}
