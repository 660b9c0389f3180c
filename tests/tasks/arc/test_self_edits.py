"""The self-edit's JSON: what is no JSON is drawn again, what is no configuration trains nothing, the rest is read exactly."""

import json
from typing import Any

import pytest
from arc_files import CALM
from hypothesis import given
from hypothesis import strategies as st

from seal_runtime.config.arc import BEST_CONFIG
from seal_runtime.errors import EditParseError
from seal_runtime.tasks.arc.self_edits import ArcEdit, parse_edit
from seal_runtime.tasks.base import Untrained


def config(**changes: Any) -> dict[str, dict[str, Any]]:
    value: dict[str, dict[str, Any]] = json.loads(BEST_CONFIG)
    for name, change in changes.items():
        value["training" if name in value["training"] else "data_generation"][name] = change
    return value


def test_a_configuration_is_read() -> None:
    text = json.dumps(config(use_size_augmentations=False, strategy="train_using_all_tokens", num_train_epochs=1.5), indent=2)
    assert parse_edit(f" \n{text}\n") == ArcEdit(
        use_basic=True, use_size=False, use_chain=True, use_repeat=True,
        strategy="train_using_all_tokens", learning_rate=1e-4, num_train_epochs=1.5,
    )  # fmt: skip


def test_more_than_is_asked_for_is_ignored() -> None:
    assert parse_edit(json.dumps({**config(), "why": "because"})) == parse_edit(BEST_CONFIG)


@pytest.mark.parametrize(
    "text",
    ["", "{", "Here it is: {}", BEST_CONFIG + "\nDone.", f"```json\n{BEST_CONFIG}\n```", BEST_CONFIG.replace("true", "True"), "[" * 100_000,
     "1" * 5000],
)  # fmt: skip
def test_what_is_no_json_cannot_be_used(text: str) -> None:
    with pytest.raises(EditParseError, match="expected a JSON object"):
        parse_edit(text)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "data_generation: expected an object, got 5"),
        ([], "data_generation"),
        ({}, "data_generation: expected an object, got nothing"),
        ({"data_generation": config()["data_generation"]}, "training: expected an object"),
        ({**config(), "data_generation": {"use_basic_augmentations": True}}, "use_size_augmentations: expected true or false, got nothing"),
        (config(use_basic_augmentations="true"), 'use_basic_augmentations: expected true or false, got "true"'),
        (config(strategy="train"), 'strategy: expected train_using_all_tokens or train_using_output_tokens, got "train"'),
        (config(strategy=["x"]), "strategy"),
        (config(learning_rate="1e-4"), "learning_rate: expected a number"),
        (config(learning_rate=True), "learning_rate: expected a number"),
        (config(learning_rate=float("nan")), "learning_rate: expected a number"),
        (config(learning_rate=0), "learning_rate: expected 1e-07 to 1"),
        (config(learning_rate=1.5), "learning_rate: expected 1e-07 to 1"),
        (config(learning_rate=-1e-4), "learning_rate"),
        (config(num_train_epochs=0), "num_train_epochs: expected more than 0"),
        (config(num_train_epochs=10**400), "num_train_epochs: expected a number"),
        (config(num_train_epochs=None), "num_train_epochs: expected a number, got nothing"),
    ],
)
def test_what_is_no_configuration_trains_nothing_and_says_why(value: Any, reason: str) -> None:
    edit = parse_edit(json.dumps(value))
    assert isinstance(edit, Untrained)
    assert reason in edit.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*config(), *config()["training"], "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=JSON)
@CALM
def test_any_json_is_a_configuration_or_trains_nothing(value: Any) -> None:
    assert isinstance(parse_edit(json.dumps(value)), ArcEdit | Untrained)
