"""Draw the sequences of continual self-edits: a function of the run's seed alone, so that whoever reads a run can draw them again."""

import random
from collections.abc import Sequence

from seal_runtime.config.topology import Topology
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.base import Instance


def continual_sequences(topology: Topology, available: Sequence[Instance]) -> list[tuple[Instance, ...]]:
    """Return as many sequences as are asked for and can be made; no two share a context."""
    config = topology.evaluation.continual
    size = config.sequence_length
    shuffled = list(available)
    random.Random(derive_seed(topology.run.seed, "continual")).shuffle(shuffled)
    number = min(config.num_sequences, len(available) // size)
    return [tuple(shuffled[start : start + size]) for start in range(0, number * size, size)]
