"""What a model is pretrained on: a tokenizer, a stream of batches, and what to ask the result. Two worlds keep this contract."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from seal_runtime.errors import ConfigError
from seal_runtime.pretrain.batches import Batch
from seal_runtime.pretrain.network import NetworkShape, Weights

WORLDS = ("fictional", "grids")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedBatch:
    """A batch, and the weight of its mean loss in the step."""

    batch: Batch
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFacts:
    """What a finished training run cost; for the model card."""

    name: str
    seed: int
    num_steps: int
    muon_learning_rate: float
    adam_learning_rate: float
    num_tokens: int
    num_parameters: int
    cpu_seconds: float


class World(Protocol):
    """The part of a pretraining run that says what is learned."""

    @property
    def default_steps(self) -> int:
        """Return the optimizer steps of the shipped model."""
        ...

    @property
    def muon_learning_rate(self) -> float:
        """Return the peak learning rate of the hidden matrices."""
        ...

    def build_tokenizer(self) -> Tokenizer:
        """Return the tokenizer; the same one every time."""
        ...

    def steps(self, tokenizer: Tokenizer, seed: int, num_steps: int) -> Iterator[Sequence[WeightedBatch]]:
        """Yield what each optimizer step sees."""
        ...

    def examine(self, shape: NetworkShape, weights: Weights, tokenizer: Tokenizer) -> dict[str, float]:
        """Measure the network in training, cheaply: name and share of what it gets right."""
        ...

    def model_card(self, folder: Path, facts: TrainingFacts) -> str:
        """Measure the saved folder as its users will load it, and return its README."""
        ...


def make_world(name: str) -> World:
    """Return a world by its name. Raises ConfigError."""
    if name == "fictional":
        from seal_runtime.pretrain.fictional_world import FictionalWorld

        return FictionalWorld()
    if name == "grids":
        from seal_runtime.pretrain.grid_world import GridWorld

        return GridWorld()
    raise ConfigError(f"expected a world to be one of {', '.join(WORLDS)}, got {name!r}")
