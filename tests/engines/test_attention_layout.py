"""Runs of equal sequences: hand-made."""

import torch

from seal_runtime.engines.attention_layout import Run, plain_layout, sorted_layout


def test_equal_sequences_come_together_and_keep_their_order():
    layout = sorted_layout([3, 2, 3, 1], [0, 0, 0, 0])
    assert layout.runs == (
        Run(start=0, count=1, size=1, num_pads=0),
        Run(start=1, count=1, size=2, num_pads=0),
        Run(start=3, count=2, size=3, num_pads=0),
    )
    assert layout.num_tokens == 9
    assert layout.order_T.tolist() == [8, 3, 4, 0, 1, 2, 5, 6, 7]


def test_sequences_of_one_length_and_other_padding_stay_apart():
    layout = sorted_layout([4, 4, 4], [1, 0, 1])
    assert layout.runs == (Run(start=0, count=1, size=4, num_pads=0), Run(start=4, count=2, size=4, num_pads=1))


def test_sequences_in_order_stay_where_they_are():
    layout = sorted_layout([2, 3, 3], [0, 0, 0])
    assert layout.order_T is None
    assert layout.runs == (Run(start=0, count=1, size=2, num_pads=0), Run(start=2, count=2, size=3, num_pads=0))


def test_a_plain_layout_has_a_run_for_each_sequence():
    layout = plain_layout([3, 3], [0, 1])
    assert layout.runs == (Run(start=0, count=1, size=3, num_pads=0), Run(start=3, count=1, size=3, num_pads=1))
    assert layout.order_T is None


def test_the_order_is_a_permutation():
    lengths = torch.randint(1, 9, (40,), generator=torch.Generator().manual_seed(0)).tolist()
    order = sorted_layout(lengths, [0] * 40).order_T
    assert sorted(order.tolist()) == list(range(sum(lengths)))
