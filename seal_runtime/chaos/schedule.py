"""Which disturbances a run gets and when: a pure function of the seed, the kinds asked for and the processes of the topology.

Moments are shares of the run's jobs, not seconds, so that the same schedule fits a fast and a slow machine. Which process is hit is an
order of preference, because some may not be alive at the moment.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from seal_runtime.errors import ConfigError
from seal_runtime.seeds import derive_seed

Kind = Literal["kill", "stop", "term", "drop", "delay", "power", "disk"]
Variant = Literal["", "short", "long", "cut", "away", "late", "held"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_KINDS: tuple[Kind, ...] = ("kill", "stop", "term", "drop", "delay", "power")
CONTROLLER = "controller"
EVERYTHING = "everything"

_VARIANTS: dict[Kind, tuple[Variant, ...]] = {
    "kill": ("",),
    "stop": ("short", "long"),
    "term": ("",),
    "drop": ("cut", "away"),
    "delay": ("late", "held"),
    "power": ("",),
    "disk": ("",),
}
_WEIGHTS: dict[Kind, float] = {"kill": 6.0, "stop": 3.0, "term": 3.0, "drop": 3.0, "delay": 3.0, "power": 1.0, "disk": 0.5}
_FIRST_SHARE, _LAST_SHARE = 0.02, 0.92
_SHORT = (0.1, 0.6)
"""Shortest and longest short disturbance, in agent timeouts: it must not cost the agent its place."""
_LONG = (1.3, 2.0)
"""The same for a long one: the agent is given up, and comes back as one that everybody believes dead."""
_LATENCY_SECONDS = (0.02, 0.3)
_CATCH_STARTING_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One disturbance, due when `share` of the run's jobs are done.

    `targets` are process names, the first that can be hit is. `seconds` is how long it lasts (0: an instant). A `late` delay holds each
    piece of data back for `latency_seconds`, a `held` one lets nothing through. `catches_starting` prefers no process that already serves.
    """

    number: int
    kind: Kind
    variant: Variant
    share: float
    targets: tuple[str, ...]
    seconds: float
    latency_seconds: float
    catches_starting: bool


def make_schedule(
    *, seed: int, num_injections: int, kinds: Sequence[Kind], agents: Sequence[str], agent_timeout_seconds: float
) -> list[Injection]:
    """Return the injections in the order of their shares. Every kind comes before any comes again, then every variant."""
    source = random.Random(derive_seed(seed, "chaos", num_injections))
    sorts = _deal(source, kinds, num_injections)
    width = (_LAST_SHARE - _FIRST_SHARE) / max(1, num_injections)
    injections = []
    for number, (kind, variant) in enumerate(sorts):
        share = _FIRST_SHARE + (number + source.random()) * width
        injections.append(
            Injection(
                number=number,
                kind=kind,
                variant=variant,
                share=share,
                targets=_targets(source, kind, agents),
                seconds=_seconds(source, variant, agent_timeout_seconds) if kind != "disk" else source.uniform(1.0, 3.0),
                latency_seconds=source.uniform(*_LATENCY_SECONDS) if variant == "late" else 0.0,
                catches_starting=source.random() < _CATCH_STARTING_SHARE,
            )
        )
    return injections


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """Return the kinds of a comma-separated list. Raises ConfigError that names them all."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    kinds = tuple(kind for kind in KINDS if kind in names)
    unknown = [name for name in names if name not in KINDS]
    if unknown or not kinds:
        raise ConfigError(f"--kinds: expected some of {', '.join(KINDS)}, got {text!r}")
    return kinds


def _deal(source: random.Random, kinds: Sequence[Kind], number: int) -> list[tuple[Kind, Variant]]:
    first = [(kind, source.choice(_VARIANTS[kind])) for kind in kinds]
    others = [(kind, variant) for kind in kinds for variant in _VARIANTS[kind] if (kind, variant) not in first]
    source.shuffle(first)
    source.shuffle(others)
    dealt = [*first, *others][:number]
    weights = [_WEIGHTS[kind] for kind in kinds]
    while len(dealt) < number:
        kind = source.choices(kinds, weights)[0]
        dealt.append((kind, source.choice(_VARIANTS[kind])))
    return dealt


def _targets(source: random.Random, kind: Kind, agents: Sequence[str]) -> tuple[str, ...]:
    if kind in ("power", "disk"):
        return (EVERYTHING,)
    names = [CONTROLLER, *agents]
    source.shuffle(names)
    return tuple(names)


def _seconds(source: random.Random, variant: Variant, agent_timeout_seconds: float) -> float:
    if variant in ("", "cut"):
        return 0.0
    if variant == "short" or (variant in ("away", "held") and source.random() < 0.5):
        return agent_timeout_seconds * source.uniform(*_SHORT)
    return agent_timeout_seconds * source.uniform(*_LONG)
