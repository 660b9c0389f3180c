"""The grids' tokenizer: one token a cell and a fixed text, any text reversible, parts separable."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from protocol.prompts import plain_prompt
from seal_runtime.pretrain.grid_vocabulary import build_grid_tokenizer
from seal_runtime.pretrain.vocabulary import save_tokenizer
from seal_runtime.tasks.arc.grids import Example
from seal_runtime.tasks.arc.prompts import answer_text, edit_prompt, puzzle_prompt
from seal_runtime.tasks.arc.small.corpus import edit_document, puzzle_document
from seal_runtime.tasks.arc.small.self_edits import LEARNING_RATES, configuration, self_edit, text_of

TOKENIZER = build_grid_tokenizer()
GRID = ((1, 2), (3, 4))


def num_tokens(text):
    return len(TOKENIZER.encode(text).ids)


def test_building_twice_gives_the_same_tokenizer():
    assert build_grid_tokenizer().to_str() == TOKENIZER.to_str()


def test_a_cell_is_one_token_in_puzzles_and_in_requests():
    instructions, arrow, end, newline = 1, 1, 1, 1
    shown = Example(input=GRID, output=GRID)
    assert num_tokens(answer_text(GRID)) == 4 + end
    assert num_tokens(plain_prompt(puzzle_prompt((), GRID))) == instructions + 4 + arrow
    assert num_tokens(plain_prompt(puzzle_prompt((shown,), GRID))) == instructions + 4 + arrow + 4 + end + newline + 4 + arrow
    before, after_demonstrations, request = 2, 1, 1
    assert num_tokens(plain_prompt(edit_prompt((shown,)))) == before + 4 + 1 + 4 + after_demonstrations + request


def test_a_self_edit_is_a_token_for_each_value_and_for_what_stands_between():
    for rate in LEARNING_RATES:
        text = text_of(configuration((True, False, True, False), "train_using_all_tokens", rate, 8))
        assert num_tokens(text) == 7 + 8


def test_no_text_of_the_corpus_is_spelled_in_bytes():
    rng = random.Random(21)
    spelled = {TOKENIZER.token_to_id(letter) for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ{}[]"}
    for draw in (puzzle_document, edit_document):
        for _ in range(300):
            for text, _ in draw(rng).parts:
                assert spelled.isdisjoint(TOKENIZER.encode(text).ids)


def test_parts_encode_as_the_whole_text_does():
    rng = random.Random(5)
    for draw in (puzzle_document, edit_document):
        parts = [text for text, _ in draw(rng).parts]
        assert [token for part in parts for token in TOKENIZER.encode(part).ids] == TOKENIZER.encode("".join(parts)).ids


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
CUT_EDITS = st.builds(lambda seed, cut: self_edit(random.Random(seed))[cut:], st.integers(0, 99), st.integers(0, 200))


@given(TEXTS | CUT_EDITS)
def test_any_text_survives_encoding_and_decoding(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


@pytest.mark.parametrize("text", ["", " ", "\n", "[[1 2]\n [3 4]]#", "a 1\n b\n\n  c \n", "naïve 東京 12", self_edit(random.Random(0))])
def test_saved_tokenizer_round_trips_through_transformers(tmp_path, text):
    save_tokenizer(TOKENIZER, tmp_path)
    saved = AutoTokenizer.from_pretrained(str(tmp_path))
    assert saved.decode(saved(text)["input_ids"]) == text
    assert saved(text)["input_ids"] == TOKENIZER.encode(text).ids
