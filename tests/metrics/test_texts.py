import pytest

from seal_runtime.metrics.texts import TextCounter


def test_no_text_has_no_figures() -> None:
    assert TextCounter().figures() is None


def test_texts_are_compared_within_their_context() -> None:
    counter = TextCounter()
    for context, text in (("a", "one two"), ("a", " one two\n"), ("a", "three"), ("b", "one two")):
        counter.add(context, text, 4, is_cut=text == "three")
    figures = counter.figures()
    assert figures is not None
    assert figures.num_written == 4
    assert figures.unique_share == pytest.approx(3 / 4)
    assert figures.distinct_bigrams == pytest.approx(1 / 3), "three pairs of words, all the same"
    assert figures.mean_tokens == 4.0
    assert figures.mean_characters == pytest.approx((7 + 9 + 5 + 7) / 4)
    assert figures.cut_share == pytest.approx(1 / 4)


def test_distinct_bigrams_count_pairs_of_words() -> None:
    counter = TextCounter()
    counter.add("a", "the cat saw the cat", 5, is_cut=False)
    figures = counter.figures()
    assert figures is not None
    assert figures.distinct_bigrams == pytest.approx(3 / 4), "the cat, cat saw, saw the, the cat"


def test_texts_of_single_words_have_no_bigrams() -> None:
    counter = TextCounter()
    counter.add("a", "word", 1, is_cut=False)
    figures = counter.figures()
    assert figures is not None
    assert figures.distinct_bigrams is None
