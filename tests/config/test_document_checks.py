"""Documents of continued pretraining: whether they fit one message, and whether the task has any."""

import pytest

from seal_runtime.config.checks import check_topology
from seal_runtime.config.topology import Topology
from seal_runtime.errors import ConfigError


def topology(num_contexts: int, *, edits: int = 5, tokens: int = 512, task: str = "fictional", targets: tuple[str, ...] = ()) -> Topology:
    cpt = {"num_contexts": num_contexts, "edits_per_context": edits, "lora": {"targets": targets}}
    sections = {"task": {"name": task}, "evaluation": {"cpt": cpt}, "proposer": {"sampling": {"max_new_tokens": tokens}}}
    return Topology.model_validate(sections)


def warnings(checked: Topology) -> list[str]:
    return [warning for warning in check_topology(checked, require_gpus=False) if "documents" in warning]


def test_documents_that_may_not_fit_one_message_are_warned_of() -> None:
    assert warnings(topology(200)) == []
    (warning,) = warnings(topology(200, tokens=8192))
    assert "about 37 MB, and 17 MB fit" in warning


def test_more_documents_than_a_message_has_places_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected at most 65,536 documents, got 650,000"):
        warnings(topology(10_000, edits=64, tokens=1))


def test_configurations_are_no_documents() -> None:
    with pytest.raises(ConfigError, match="whose self-edits are configurations and no documents"):
        warnings(topology(2, task="arc"))


def test_the_shape_of_the_joint_adapter_is_checked_as_the_others_are() -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.cpt\.lora\.targets"):
        warnings(topology(2, targets=("q_proj", "q_proj")))
