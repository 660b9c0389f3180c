"""The self-edits that pretraining shows: configurations of every worth, some of them no JSON at all."""

import json
import random

AUGMENTATIONS = ("use_basic_augmentations", "use_size_augmentations", "use_chain_augmentations", "use_repeat_augmentations")
STRATEGIES = ("train_using_all_tokens", "train_using_output_tokens")
# From no effect to divergence: the prior knows nothing of what works.
LEARNING_RATES = (1e-05, 0.0001, 0.001, 0.003, 0.01, 0.1)
EPOCHS = (1, 2, 3, 4, 6, 10)
_INVALID_PROBABILITY = 0.1
_AUGMENTATION_PROBABILITY = 0.5

Configuration = dict[str, dict[str, bool | str | float | int]]


def configuration(augmentations: tuple[bool, ...], strategy: str, learning_rate: float, num_epochs: int) -> Configuration:
    """Return a self-edit as data."""
    return {
        "data_generation": dict(zip(AUGMENTATIONS, augmentations, strict=True)),
        "training": {"strategy": strategy, "learning_rate": learning_rate, "num_train_epochs": num_epochs},
    }


def self_edit(rng: random.Random) -> str:
    """Draw the text of a self-edit; one in ten is no JSON."""
    drawn = configuration(
        tuple(rng.random() < _AUGMENTATION_PROBABILITY for _ in AUGMENTATIONS),
        rng.choice(STRATEGIES),
        rng.choice(LEARNING_RATES),
        rng.choice(EPOCHS),
    )
    text = text_of(drawn)
    return rng.choice(_SPOILERS)(text) if rng.random() < _INVALID_PROBABILITY else text


def text_of(drawn: Configuration) -> str:
    """Return the text of a self-edit as the request's example lays it out."""
    return json.dumps(drawn, indent=2)


def _unclosed(text: str) -> str:
    return text.removesuffix("\n}")


def _in_python(text: str) -> str:
    return text.replace("true", "True").replace("false", "False")


_SPOILERS = (_unclosed, _in_python)
