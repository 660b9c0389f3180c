"""Small grids: the shipped files are what the command writes, and no shipped rule is in the pretraining corpus."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from seal_runtime.errors import EditParseError
from seal_runtime.tasks.arc.data import read_puzzles
from seal_runtime.tasks.arc.prompts import parse_answer
from seal_runtime.tasks.arc.self_edits import ArcEdit, parse_edit
from seal_runtime.tasks.arc.small.corpus import edit_document, puzzle_document
from seal_runtime.tasks.arc.small.files import NUM_PUZZLES, answers_that_fit, write_puzzles
from seal_runtime.tasks.arc.small.rules import PROBE, hard_rules, moves, painters
from seal_runtime.tasks.arc.small.self_edits import self_edit

SHIPPED = Path(__file__).resolve().parents[3] / "examples" / "data" / "small-grids"


def shipped_puzzles(group):
    return read_puzzles(str(SHIPPED / f"{group}_challenges.json"), str(SHIPPED / f"{group}_solutions.json"))


def explains(rule, demonstrations):
    return all(rule.apply(shown.input) == shown.output for shown in demonstrations)


def test_the_command_writes_the_shipped_files_byte_for_byte(tmp_path):
    subprocess.run([sys.executable, "-m", "seal_runtime.tasks.arc.small", "--out", str(tmp_path)], check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in SHIPPED.iterdir()}
    assert [path.name for path in SHIPPED.iterdir() if path.read_bytes() != (tmp_path / path.name).read_bytes()] == []


def test_another_seed_writes_other_puzzles(tmp_path):
    for path in write_puzzles(tmp_path, seed=1):
        assert path.read_bytes() != (SHIPPED / path.name).read_bytes()


@pytest.mark.parametrize("group", NUM_PUZZLES)
def test_no_simple_rule_explains_a_shipped_puzzle(group):
    puzzles = shipped_puzzles(group)
    assert len(puzzles) == NUM_PUZZLES[group]
    for puzzle in puzzles:
        assert [rule.name for rule in (*moves(), *painters()) if explains(rule, puzzle.demonstrations)] == []


@pytest.mark.parametrize("group", NUM_PUZZLES)
def test_the_demonstrations_of_a_shipped_puzzle_leave_its_solution_only(group):
    for puzzle in shipped_puzzles(group):
        for asked in puzzle.tests:
            assert answers_that_fit(puzzle.demonstrations, asked.input) == {asked.output}


def test_no_rule_is_in_two_puzzles():
    puzzles = [puzzle for group in NUM_PUZZLES for puzzle in shipped_puzzles(group)]
    explaining = [{rule.name for rule in hard_rules() if explains(rule, puzzle.demonstrations)} for puzzle in puzzles]
    assert all(len(names) == 1 for names in explaining)
    assert len(set.union(*explaining)) == len(puzzles)


def test_no_hard_rule_acts_like_a_simple_one():
    simple = {rule.apply(PROBE) for rule in moves()}
    hard = [rule.apply(PROBE) for rule in hard_rules()]
    assert len(simple) == len(moves())
    assert len({*simple, *hard}) == len(moves()) + len(hard)


def test_every_puzzle_of_the_corpus_has_a_simple_rule():
    rng = random.Random(3)
    rules = (*moves(), *painters())
    for _ in range(300):
        *shown, (asked, _), (answer, bears_loss) = puzzle_document(rng).parts
        text = "".join(part for part, _ in shown) + asked + answer
        pairs = [pair.split(" -> ") for pair in text.split("arrays:\n")[1].split("#\n")]
        grids = [(parse_answer(given), parse_answer(made)) for given, made in pairs]
        assert bears_loss
        assert any(all(rule.apply(given) == made for given, made in grids) for rule in rules)


def test_the_first_output_of_a_puzzle_bears_no_loss():
    parts = puzzle_document(random.Random(1)).parts
    assert [bears_loss for _, bears_loss in parts[:4]] == [False, False, False, True]


def test_self_edits_of_the_corpus_are_usable_but_for_one_in_ten():
    rng = random.Random(2)
    texts = [self_edit(rng) for _ in range(1000)]
    usable = []
    for text in texts:
        try:
            usable.append(parse_edit(text))
        except EditParseError:
            continue
    assert all(isinstance(edit, ArcEdit) for edit in usable)
    assert 850 < len(usable) < 950
    assert len(set(usable)) > 500


def test_a_self_edit_is_laid_out_as_the_request_shows_it():
    (request, _), (answer, _) = edit_document(random.Random(4)).parts
    skeleton = request[request.rindex('{\n  "data_generation"') :]
    usable = next(text for text in (self_edit(random.Random(seed)) for seed in range(9)) if text.endswith("}\n}"))
    assert [line.split(":")[0] for line in usable.splitlines()] == [line.split(":")[0] for line in skeleton.splitlines()]
    assert json.loads(usable)
    assert answer
