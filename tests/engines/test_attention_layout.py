"""Runs of equal sequences: hand-made."""

import torch

from seal_runtime.engines.attention_layout import Run, block_layout, plain_layout


def test_sequences_are_filled_up_sorted_and_joined():
    # 5 and 8 take a block of 8 rows, 9 takes two
    layout = block_layout([9, 5, 8], [0, 0, 0])
    assert layout.runs == (Run(start=0, count=2, size=8, num_hidden=0), Run(start=16, count=1, size=16, num_hidden=0))
    assert layout.num_rows == 32
    assert layout.places_T.tolist() == [*range(16, 25), *range(5), *range(8, 16)]


def test_padding_hides_what_fills_it_up():
    # 6 rows of text and 4 of padding: 6 more fill the second block, and none of the 10 may be seen
    layout = block_layout([10, 10], [4, 0])
    assert layout.runs == (Run(start=0, count=1, size=16, num_hidden=0), Run(start=16, count=1, size=16, num_hidden=10))
    assert layout.places_T.tolist() == [*range(16, 26), *range(10)]


def test_without_blocks_each_sequence_lies_where_it_is():
    layout = plain_layout([3, 3], [0, 1])
    assert layout.runs == (Run(start=0, count=1, size=3, num_hidden=0), Run(start=3, count=1, size=3, num_hidden=1))
    assert layout.places_T is None


def test_places_are_a_permutation_of_the_rows():
    lengths = [7, 30, 16, 1, 8, 30]
    layout = block_layout(lengths, [0, 2, 0, 0, 0, 2])
    assert len(set(layout.places_T.tolist())) == sum(lengths)
    assert sum(run.count for run in layout.runs) == len(lengths)
    assert int(layout.places_T.max()) < layout.num_rows == sum(run.count * run.size for run in layout.runs)
    assert torch.equal(layout.places_T[:7], torch.arange(7) + layout.places_T[0])
