"""The self-edit of the few-shot ARC experiment: a JSON object that says which augmentations to make and how to train.

What is no JSON cannot be used and may be drawn again; what is JSON but no usable configuration trains nothing. Departures from the
published code, which reads with `json.loads` as here:
 1. An object without `data_generation` or `training`, or a value of another kind (a learning rate in quotes), ends the published
    program; here it trains nothing. The switches must be true or false; there any value that Python takes for true is.
 2. Learning rates below MIN_LEARNING_RATE or above 1 train nothing: the first leaves the model as it was to the last bit, which no
    receipt could tell from a broken trainer, the second destroys it.
"""

import json
import math
from dataclasses import dataclass
from typing import Literal

from seal_runtime.errors import EditParseError
from seal_runtime.tasks.base import Untrained

Strategy = Literal["train_using_all_tokens", "train_using_output_tokens"]
STRATEGIES: tuple[Strategy, ...] = ("train_using_all_tokens", "train_using_output_tokens")
MIN_LEARNING_RATE = 1e-7

_SWITCHES = ("use_basic_augmentations", "use_size_augmentations", "use_chain_augmentations", "use_repeat_augmentations")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcEdit:
    """A usable configuration. Epochs may be broken, as the published trainer takes them."""

    use_basic: bool
    use_size: bool
    use_chain: bool
    use_repeat: bool
    strategy: Strategy
    learning_rate: float
    num_train_epochs: float


def parse_edit(text: str) -> ArcEdit | Untrained:
    """Read a self-edit. Raises EditParseError when it is not JSON."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EditParseError(f"expected a JSON object, got: {error}") from None
    try:
        return _edit(value)
    except ValueError as error:
        return Untrained(reason=str(error))


def _edit(value: object) -> ArcEdit:
    """Return the configuration. Raises ValueError that says what is wrong with it."""
    basic, size, chain, repeat = (_switch(_section(value, "data_generation"), name) for name in _SWITCHES)
    training = _section(value, "training")
    strategy = training.get("strategy")
    if strategy not in STRATEGIES:
        raise ValueError(f"training.strategy: expected {' or '.join(STRATEGIES)}, got {_shown(strategy)}")
    learning_rate = _number(training, "learning_rate")
    if not MIN_LEARNING_RATE <= learning_rate <= 1.0:
        raise ValueError(f"training.learning_rate: expected {MIN_LEARNING_RATE:g} to 1, got {learning_rate:g}")
    num_train_epochs = _number(training, "num_train_epochs")
    if not num_train_epochs > 0:
        raise ValueError(f"training.num_train_epochs: expected more than 0, got {num_train_epochs:g}")
    return ArcEdit(
        use_basic=basic,
        use_size=size,
        use_chain=chain,
        use_repeat=repeat,
        strategy=strategy,
        learning_rate=learning_rate,
        num_train_epochs=num_train_epochs,
    )


def _section(value: object, name: str) -> dict[str, object]:
    section = value.get(name) if isinstance(value, dict) else None
    if not isinstance(section, dict):
        raise ValueError(f"{name}: expected an object, got {_shown(section if isinstance(value, dict) else value)}")
    return section


def _switch(section: dict[str, object], name: str) -> bool:
    value = section.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"data_generation.{name}: expected true or false, got {_shown(value)}")
    return value


def _number(section: dict[str, object], name: str) -> float:
    value = section.get(name)
    # A whole number may be too large for a float; comparing it first keeps it from overflowing.
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or not math.isfinite(value):
        raise ValueError(f"training.{name}: expected a number, got {_shown(value)}")
    return float(value)


def _shown(value: object) -> str:
    return "nothing" if value is None else json.dumps(value)[:60]
