"""Which self-edit a text means."""

import pytest

from seal_runtime.story.find import EditId, matches, nearest


def edit(name: str) -> EditId:
    study, context_id, index = name.split("/")
    return EditId(study=study, context_id=context_id, edit_index=int(index[1:]))


NAMES = [
    "round-1/town-hollow/e0",
    "round-1/town-hollow/e1",
    "round-1/town-hollow/e10",
    "round-1/town/e1",
    "round-2/town-hollow/e1",
    "round-10/town-hollow/e1",
    "heldout-v0/person-ada/e0",
]
EDITS = [edit(name) for name in NAMES]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("round-1/town-hollow/e1", ["round-1/town-hollow/e1"]),
        ("round-1/town/e1", ["round-1/town/e1"]),
        ("round-1/hollow/e1", ["round-1/town-hollow/e1"]),
        ("round-2/town", ["round-2/town-hollow/e1"]),
        ("round-10", ["round-10/town-hollow/e1"]),
        ("e10", ["round-1/town-hollow/e10"]),
        ("ada", ["heldout-v0/person-ada/e0"]),
        ("heldout", ["heldout-v0/person-ada/e0"]),
        ("round-3/town-hollow/e1", []),
        ("round-1/town-hollow/e2", []),
        ("hollow/e1", ["round-1/town-hollow/e1", "round-2/town-hollow/e1", "round-10/town-hollow/e1"]),
        ("", []),
        ("/", []),
    ],
)
def test_a_part_of_a_name_is_enough_when_no_other_has_it(text: str, expected: list[str]) -> None:
    assert [str(found) for found in matches(EDITS, text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("round-1/town-hollwo/e1", "round-1/town-hollow/e1"), ("persn-ada", "heldout-v0/person-ada/e0"), ("zzz", None)],
)
def test_a_slip_of_the_pen_brings_the_nearest_names(text: str, expected: str | None) -> None:
    near = nearest(EDITS, text)
    assert near[:1] == ([expected] if expected is not None else [])
