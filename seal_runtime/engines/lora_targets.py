"""Which linear layers LoRA targets name, as PEFT reads them. Free of torch."""

import re
from collections.abc import Iterable, Sequence

_DEFAULT_TARGETS = {"gpt2": ("c_attn",)}
_USUAL_TARGETS = ("q_proj", "v_proj")


def resolve_targets(model_type: str, targets: Sequence[str], layer_names: Iterable[str]) -> tuple[str, ...]:
    """Return the targets by name, sorted: PEFT's default of the family for none, all of them for `all-linear`."""
    if tuple(targets) == ("all-linear",):
        return tuple(sorted({name.rpartition(".")[2] for name in layer_names}))
    return tuple(sorted(set(targets) or set(_DEFAULT_TARGETS.get(model_type, _USUAL_TARGETS))))


def names_layer(target: str, layer_name: str) -> bool:
    """Say whether PEFT's target pattern names the layer."""
    return re.fullmatch(rf"(.*\.)?{re.escape(target)}", layer_name) is not None
