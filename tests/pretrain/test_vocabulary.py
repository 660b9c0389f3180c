"""The tokenizer: one token a word of the world, any text reversible, prompt and completion separable."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from seal_runtime.pretrain.vocabulary import END_OF_TEXT, END_OF_TEXT_ID, build_tokenizer, save_tokenizer
from seal_runtime.tasks.fictional import FictionalWorldTask, corpus, lexicon

TOKENIZER = build_tokenizer()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(TOKENIZER, folder)
    return AutoTokenizer.from_pretrained(str(folder))


def test_building_twice_gives_the_same_tokenizer():
    assert build_tokenizer().to_str() == TOKENIZER.to_str()


def test_every_word_of_the_lexicon_is_one_token():
    words = {word for name, group in vars(lexicon).items() if name.isupper() for word in group}
    assert {word for word in words if len(TOKENIZER.encode(word).ids) != 1} == set()


def test_a_word_is_the_same_token_wherever_it_stands():
    alone = TOKENIZER.encode("Adela").ids
    assert TOKENIZER.encode("Adela\nAdela is Adela").ids[::2] == alone * 3


def test_no_word_of_the_corpus_is_spelled_in_bytes():
    rng = random.Random(21)
    known = set(TOKENIZER.get_vocab().values())
    spelled = {TOKENIZER.token_to_id(letter) for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    for draw in (corpus.edit_document, corpus.open_book_document, corpus.short_document):
        for _ in range(500):
            document = draw(rng)
            ids = TOKENIZER.encode(document.prompt).ids + TOKENIZER.encode(document.completion).ids
            assert set(ids) <= known - spelled


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_encoding_and_decoding(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


@pytest.mark.parametrize("text", ["", " ", "\n", "a\n b\n\n  c \n", "\r\n\tx", "naïve 東京 👩‍🚀 e\u0301", "x's \u2028 y"])
def test_saved_tokenizer_round_trips_through_transformers(saved, text):
    assert saved.decode(saved(text)["input_ids"]) == text


def test_saved_tokenizer_adds_nothing_and_ends_with_its_end_of_text(saved):
    assert saved("Adela")["input_ids"] == TOKENIZER.encode("Adela").ids
    assert (saved.eos_token, saved.eos_token_id, saved.pad_token_id) == (END_OF_TEXT, END_OF_TEXT_ID, END_OF_TEXT_ID)


def test_prompt_and_completion_tokenise_apart_as_in_one_text():
    rng = random.Random(22)
    for draw in (corpus.edit_document, corpus.open_book_document, corpus.short_document):
        for _ in range(300):
            document = draw(rng)
            joint = "" if document.prompt.endswith("\n") else " "
            apart = TOKENIZER.encode(document.prompt).ids + TOKENIZER.encode(document.completion).ids
            assert apart == TOKENIZER.encode(document.prompt + joint + document.completion).ids


def test_training_sequences_and_questions_tokenise_as_in_pretraining():
    task = FictionalWorldTask()
    instance = task.instances("validation")[0]
    for sequence, line in zip(
        task.training_sequences(instance, task.scripted_edit(instance)), task.scripted_edit(instance).split("\n"), strict=False
    ):
        expected = TOKENIZER.encode(f"{instance.title}\n").ids + TOKENIZER.encode(line).ids
        assert TOKENIZER.encode(sequence.completion).ids == expected
    for question in instance.questions:
        answered = TOKENIZER.encode(question.prompt).ids + TOKENIZER.encode(question.answers[0]).ids
        assert TOKENIZER.decode(answered) == f"{question.prompt} {question.answers[0]}"


def test_generated_ids_after_a_prompt_decode_to_the_edit():
    task = FictionalWorldTask()
    instance = task.instances("validation")[1]
    edit = task.scripted_edit(instance)
    prompt_ids = TOKENIZER.encode(instance.prompt).ids
    whole_ids = TOKENIZER.encode(instance.prompt + edit).ids
    assert whole_ids[: len(prompt_ids)] == prompt_ids
    assert TOKENIZER.decode(whole_ids[len(prompt_ids) :]) == edit
