"""Which class a topology's `algorithm.name` means."""

from collections.abc import Callable, Mapping

from seal_runtime.algorithms.base import OuterLoop
from seal_runtime.algorithms.rest_em import RestEM
from seal_runtime.config.topology import AlgorithmConfig

ALGORITHMS: Mapping[str, Callable[[AlgorithmConfig], OuterLoop]] = {"rest-em": RestEM}


def make_algorithm(config: AlgorithmConfig) -> OuterLoop:
    """Return the configured outer loop. The configuration admits no name that is not here."""
    return ALGORITHMS[config.name](config)
