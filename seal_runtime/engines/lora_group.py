"""One job's share of a packed batch, and its low-rank factors."""

# T rows (tokens) of the group, R rank, I inputs of a linear layer, O its outputs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from seal_runtime.engines.key_value_cache import KeyValueCache


@dataclass(slots=True, kw_only=True)
class LoraFactors:
    """The two low-rank factors of one linear layer for one group, and where their gradients go (None: not trained).

    `weight_b_RO` is the transpose of PEFT's lora_B.
    """

    weight_a_RI: torch.Tensor
    weight_b_RO: torch.Tensor
    scale: float
    grad_a_RI: torch.Tensor | None = None
    grad_b_RO: torch.Tensor | None = None
    weight_a_IR: torch.Tensor = field(init=False)
    weight_b_OR: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.weight_a_IR = self.weight_a_RI.t()
        self.weight_b_OR = self.weight_b_RO.t()


@dataclass(slots=True, kw_only=True)
class Group:
    """One job's rows. `lengths` are those of its sequences; `factors` maps the index of a linear layer to the group's factors.

    The last `num_pads` rows of each sequence are padding that carries loss (none where it is left out); their positions lie further on
    than their rows. With `accumulate` the gradients are added to what is there, else they replace it. Where a cache's prompts share a
    prefix, that is the first sequence. In the decode phase each row is the newest token of one cached sequence; `lengths` is not used.
    """

    ids_T: torch.Tensor
    positions_T: torch.Tensor
    lengths: Sequence[int]
    factors: Mapping[int, LoraFactors] = field(default_factory=dict)
    accumulate: bool = False
    num_pads: Sequence[int] = ()
    cache: KeyValueCache | None = None
