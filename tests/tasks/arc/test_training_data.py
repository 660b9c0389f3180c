"""Training puzzles: made of the demonstrations alone, by hand-counted rules, the same for the same seed."""

import pytest
from arc_files import CALM, examples, grid
from hypothesis import given
from hypothesis import strategies as st

from seal_runtime.config.arc import BEST_CONFIG, ArcConfig
from seal_runtime.tasks.arc.augmentations import identity, transpose
from seal_runtime.tasks.arc.grids import Example, Puzzle
from seal_runtime.tasks.arc.prompts import puzzle_chars
from seal_runtime.tasks.arc.self_edits import ArcEdit, parse_edit
from seal_runtime.tasks.arc.training_data import bare_puzzles, leave_out, training_puzzles

THREE = examples(transpose, 123, 3)
LIMITS = ArcConfig()


def edit(*, basic: bool = False, size: bool = False, chain: bool = False, repeat: bool = False) -> ArcEdit:
    return ArcEdit(
        use_basic=basic, use_size=size, use_chain=chain, use_repeat=repeat,
        strategy="train_using_output_tokens", learning_rate=1e-4, num_train_epochs=2,
    )  # fmt: skip


def test_leaving_one_and_two_out() -> None:
    a, b, c = THREE
    assert list(leave_out(THREE, 1)) == [
        Puzzle(demonstrations=(b, c), asked=a),
        Puzzle(demonstrations=(a, c), asked=b),
        Puzzle(demonstrations=(a, b), asked=c),
    ]
    assert list(leave_out(THREE, 2)) == [
        Puzzle(demonstrations=(shown,), asked=asked) for asked, shown in ((a, c), (a, b), (b, c), (b, a), (c, b), (c, a))
    ]
    assert list(leave_out(THREE[:1], 2)) == []
    assert bare_puzzles(THREE, LIMITS) == [*leave_out(THREE, 1), *leave_out(THREE, 2)]


def test_without_augmentations_only_the_order_of_the_demonstrations_changes() -> None:
    puzzles = training_puzzles(THREE, edit(), LIMITS, seed=1)
    assert set(puzzles) >= {*leave_out(THREE, 1), *leave_out(THREE, 2)}
    assert {(frozenset(puzzle.demonstrations), puzzle.asked) for puzzle in puzzles} == {
        (frozenset(puzzle.demonstrations), puzzle.asked) for puzzle in bare_puzzles(THREE, LIMITS)
    }
    assert len(puzzles) == len(set(puzzles))


@pytest.mark.parametrize(
    ("chosen", "num_augmentations"), [(edit(basic=True), 11), (edit(size=True), 3), (edit(chain=True), 6), (edit(repeat=True), 3)]
)
def test_each_family_makes_its_puzzles_of_all_that_leaves_out_and_a_twin_of_each(chosen: ArcEdit, num_augmentations: int) -> None:
    puzzles = training_puzzles(THREE, chosen, ArcConfig(max_examples=10_000), seed=5)
    # 3 + 6 ways of leaving out, as they are and under each augmentation; the twins are other puzzles, or by chance the same
    most = 2 * 9 * (num_augmentations + 1)
    assert most - 18 <= len(puzzles) <= most


def test_inputs_and_outputs_are_augmented_alike() -> None:
    same = tuple(Example(input=grid(number), output=grid(number)) for number in (123, 456, 789))
    best = parse_edit(BEST_CONFIG)
    assert isinstance(best, ArcEdit)
    puzzles = training_puzzles(same, best, ArcConfig(max_examples=10_000), seed=3)
    assert len(puzzles) > 300
    assert all(example.input == example.output for puzzle in puzzles for example in (*puzzle.demonstrations, puzzle.asked))


@given(seed=st.integers(0, 1 << 40), max_examples=st.integers(1, 60), max_chars=st.integers(300, 600), max_side=st.integers(3, 8))
@CALM
def test_the_limits_hold_and_the_seed_decides(seed: int, max_examples: int, max_chars: int, max_side: int) -> None:
    limits = ArcConfig(max_examples=max_examples, max_chars=max_chars, max_side=max_side)
    chosen = edit(basic=True, size=True, repeat=True)
    puzzles = training_puzzles(THREE, chosen, limits, seed)
    assert puzzles == training_puzzles(THREE, chosen, limits, seed)
    assert len(puzzles) <= max_examples
    assert all(puzzle_chars(puzzle) <= max_chars and puzzle.side <= max_side for puzzle in puzzles)


def test_another_seed_makes_other_puzzles_and_colour_0_stays() -> None:
    zero = tuple(Example(input=((0, number), (number, 0)), output=((number, 0), (0, number))) for number in (1, 2, 3))
    first, second = (training_puzzles(zero, edit(basic=True), LIMITS, seed) for seed in (1, 2))
    assert first != second
    for puzzle in first:
        colours = [colour for row in puzzle.asked.input for colour in row]
        assert colours.count(0) * 2 == len(colours)


def test_one_demonstration_is_asked_with_none_shown() -> None:
    (only,) = examples(identity, 123, 1)
    assert training_puzzles((only,), edit(), LIMITS, seed=1) == [Puzzle(demonstrations=(), asked=only)]
