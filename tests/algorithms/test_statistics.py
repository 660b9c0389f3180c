"""Known values: closed forms for 1 and 2 degrees of freedom, printed t tables for the others, and one test worked by hand."""

import math

import pytest

from seal_runtime.algorithms.statistics import incomplete_beta, mean, paired_t_test, standard_deviation, standard_error, two_sided_p


def test_mean_and_standard_error_of_four_values() -> None:
    values = [1.0, 2.0, 3.0, 6.0]
    assert mean(values) == 3.0
    assert standard_deviation(values) == pytest.approx(math.sqrt(14 / 3))
    assert standard_error(values) == pytest.approx(math.sqrt(14 / 12))


def test_mean_is_exact_for_tenths() -> None:
    assert mean([0.1] * 10) == 0.1


def test_one_value_has_no_standard_error() -> None:
    assert standard_error([0.5]) is None
    assert standard_error([]) is None


def test_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean([])


@pytest.mark.parametrize("t", [0.01, 0.5, 1.0, 3.0, 12.706, 636.6])
def test_p_has_its_closed_form_for_one_and_two_degrees_of_freedom(t: float) -> None:
    assert two_sided_p(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), rel=1e-10)
    assert two_sided_p(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-8)


@pytest.mark.parametrize(
    ("t", "degrees_of_freedom", "p"),
    [
        (2.228139, 10, 0.05),
        (3.169273, 10, 0.01),
        (2.022691, 39, 0.05),
        (2.707913, 39, 0.01),
        (1.983972, 100, 0.05),
        (1.960200, 10_000, 0.05),
    ],
)
def test_p_agrees_with_printed_tables(t: float, degrees_of_freedom: int, p: float) -> None:
    assert two_sided_p(t, degrees_of_freedom) == pytest.approx(p, rel=2e-4)
    assert two_sided_p(-t, degrees_of_freedom) == two_sided_p(t, degrees_of_freedom)


def test_p_at_the_ends() -> None:
    assert two_sided_p(0.0, 7) == 1.0
    assert two_sided_p(math.inf, 7) == 0.0
    assert 0 < two_sided_p(30.0, 39) < 1e-20


def test_incomplete_beta_of_the_uniform_distribution_is_x() -> None:
    assert incomplete_beta(1, 1, 0.3) == pytest.approx(0.3)
    assert incomplete_beta(2, 1, 0.3) == pytest.approx(0.09)
    assert incomplete_beta(1, 2, 0.9) == pytest.approx(1 - 0.01)


def test_paired_t_test_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, standard deviation 1, error 1/sqrt(3), t = 2 sqrt(3) on 2 degrees of freedom.
    result = paired_t_test([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    t = 2 * math.sqrt(3)
    assert (result.num_pairs, result.mean_difference) == (3, 2.0)
    assert result.standard_error == pytest.approx(1 / math.sqrt(3))
    assert result.t == pytest.approx(t)
    assert result.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_paired_t_test_without_variance() -> None:
    same = paired_t_test([0.1, 0.5], [0.1, 0.5])
    assert (same.t, same.p_value) == (0.0, 1.0)
    shifted = paired_t_test([0.1, 0.2, 0.3], [0.3, 0.4, 0.5])
    assert (shifted.t, shifted.p_value, shifted.standard_error) == (math.inf, 0.0, 0.0)


@pytest.mark.parametrize(("before", "after"), [([], []), ([1.0], [2.0]), ([1.0, 2.0], [1.0])])
def test_unpaired_or_too_few_values_are_refused(before: list[float], after: list[float]) -> None:
    with pytest.raises(ValueError, match="two pairs or more"):
        paired_t_test(before, after)
