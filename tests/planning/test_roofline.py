import pytest
from plans import facts, roofline

from seal_runtime.planning.roofline import Roofline


def test_training_is_bound_by_launches_then_by_arithmetic():
    step = roofline().training(recomputes=False)
    # 10 layers x 180 kernels x 6 us; the weights read twice take 4 GB / 4.8 TB/s = 0.8 ms.
    assert step.floor_seconds == pytest.approx(0.0108)
    # (4e9 + 6e6) operations a row at 494.5 TFLOP/s.
    assert step.unit_seconds == pytest.approx(4.006e9 / 494.5e12)
    # a million weights x 40 bytes at 4.8 TB/s.
    assert step.job_seconds == pytest.approx(40e6 / 4.8e12)
    assert step.seconds(10.0, 1) == pytest.approx(0.0108 + 40e6 / 4.8e12)


def test_a_large_model_reads_its_weights_longer_than_it_launches():
    large = Roofline(facts=facts(linear_weights=70_000_000_000), gpu=roofline().gpu, efficiency=0.5)
    assert large.training(recomputes=False).floor_seconds == pytest.approx(2 * 140e9 / 4.8e12)
    assert large.generation(1).floor_seconds == pytest.approx(140e9 / 4.8e12)
    assert large.generation(4).floor_seconds == pytest.approx(35e9 / 4.8e12)


def test_recomputing_activations_costs_a_third_more():
    plain, recomputing = roofline().training(recomputes=False), roofline().training(recomputes=True)
    assert recomputing.unit_seconds == pytest.approx(plain.unit_seconds * 4 / 3)


def test_a_pair_of_rows_costs_what_attention_computes():
    assert roofline().pair_units == pytest.approx(6 * 10_000 / 4.006e9)


def test_a_prompt_is_read_at_two_operations_a_weight():
    assert roofline().reading_seconds(100, 2) == pytest.approx(2e9 * 100 / 494.5e12 / 2)
