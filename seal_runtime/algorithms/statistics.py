"""Means, standard errors and the paired t test, exact and in pure Python (no scipy in the dependencies).

Two-sided p of Student's t with v degrees of freedom: p = I_x(v/2, 1/2) at x = v / (v + t^2), where I is the regularised incomplete
beta function (Abramowitz and Stegun 26.7.1 and 26.5.8); its continued fraction is evaluated by Lentz's method.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MAX_TERMS = 10_000
_PRECISION = 1e-15
_TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """A paired t test. `t` is infinite and `p_value` 0 when all pairs differ by the same amount other than 0."""

    num_pairs: int
    mean_difference: float
    standard_error: float
    t: float
    p_value: float


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean. Raises ValueError for no values."""
    if not values:
        raise ValueError("expected at least one value to average, got none")
    return math.fsum(values) / len(values)


def standard_deviation(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n - 1 in the denominator). Raises ValueError for fewer than two values."""
    if len(values) < 2:
        raise ValueError(f"expected at least two values for a standard deviation, got {len(values)}")
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean, None for fewer than two values (it cannot be estimated)."""
    return None if len(values) < 2 else standard_deviation(values) / math.sqrt(len(values))


def paired_t_test(before: Sequence[float], after: Sequence[float]) -> PairedTest:
    """Test whether `after` differs from `before`, pair by pair, two-sided.

    Raises ValueError when the lengths differ or there are fewer than two pairs.
    """
    if len(before) != len(after) or len(before) < 2:
        raise ValueError(f"expected two lists of equal length, two pairs or more; got {len(before)} and {len(after)} values")
    differences = [late - early for early, late in zip(before, after, strict=True)]
    centre, error = mean(differences), standard_deviation(differences) / math.sqrt(len(differences))
    # Differences of equal decimal pairs (0.3 - 0.1, 0.4 - 0.2) vary in the last bit only: that is no variance.
    if error <= 1e-12 * max(1.0, abs(centre)):
        t = 0.0 if abs(centre) <= 1e-12 else math.copysign(math.inf, centre)
        error = 0.0
    else:
        t = centre / error
    p_value = two_sided_p(t, len(differences) - 1)
    return PairedTest(num_pairs=len(differences), mean_difference=centre, standard_error=error, t=t, p_value=p_value)


def two_sided_p(t: float, degrees_of_freedom: int) -> float:
    """Return P(|T| >= |t|) for Student's t. Raises ValueError for fewer than one degree of freedom or a t that is no number."""
    if degrees_of_freedom < 1 or math.isnan(t):
        raise ValueError(f"expected a number t and at least 1 degree of freedom, got {t} and {degrees_of_freedom}")
    if math.isinf(t):
        return 0.0
    return incomplete_beta(degrees_of_freedom / 2, 0.5, degrees_of_freedom / (degrees_of_freedom + t * t))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) for a, b > 0 and x in [0, 1]."""
    assert min(a, b) > 0, (a, b)
    assert 0 <= x <= 1, x
    if x in (0.0, 1.0):
        return x
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    # The fraction converges fast on this side only; the other follows by symmetry.
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _continued_fraction(a, b, x) / a
    return 1.0 - math.exp(log_front) * _continued_fraction(b, a, 1 - x) / b


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of I_x(a, b) by the modified Lentz method (Abramowitz and Stegun 26.5.8)."""
    numerator_ratio, denominator_ratio = 1.0, 1.0 / _nonzero(1.0 - (a + b) * x / (a + 1))
    value = denominator_ratio
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            denominator_ratio = 1.0 / _nonzero(1.0 + coefficient * denominator_ratio)
            numerator_ratio = _nonzero(1.0 + coefficient / numerator_ratio)
            value *= numerator_ratio * denominator_ratio
        if abs(numerator_ratio * denominator_ratio - 1.0) < _PRECISION:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
