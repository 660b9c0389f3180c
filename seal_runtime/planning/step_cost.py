"""What one step of an engine takes: an optimizer step of all adapters at work, or one token of all texts that are being written.

    seconds(U, J) = fixed + max(floor, unit U) + job J          U rows of the step, J jobs at work

`floor` is what cannot be shared out: reading the weights, launching kernels. Measured points give `fixed` and `unit`, the
roofline the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

Point = tuple[float, float]
"""Rows of a step, and its seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """The four numbers, in seconds. `source` says where they come from."""

    fixed_seconds: float
    floor_seconds: float
    unit_seconds: float
    job_seconds: float
    source: str

    def seconds(self, units: float, jobs: int) -> float:
        """Return the time of one step."""
        return self.fixed_seconds + max(self.floor_seconds, self.unit_seconds * units) + self.job_seconds * jobs

    def times(self, factor: float) -> "StepCost":
        """Return the cost on an engine that is slower by a factor."""
        return replace(
            self,
            fixed_seconds=self.fixed_seconds * factor,
            floor_seconds=self.floor_seconds * factor,
            unit_seconds=self.unit_seconds * factor,
            job_seconds=self.job_seconds * factor,
        )


def through_points(points: Sequence[Point], source: str) -> StepCost:
    """Return the line, neither part negative, with the least sum of squared relative errors; one point gives a line through zero."""
    weighted = [(1.0 / seconds, units / seconds) for units, seconds in points]
    ones, squares = sum(a * a for a, _ in weighted), sum(u * u for _, u in weighted)
    mixed, sum_a, sum_u = sum(a * u for a, u in weighted), sum(a for a, _ in weighted), sum(u for _, u in weighted)
    determinant = ones * squares - mixed * mixed
    fixed, unit = 0.0, sum_u / squares
    if len(points) > 1 and determinant > 1e-12 * ones * squares:
        fixed, unit = (sum_a * squares - sum_u * mixed) / determinant, (sum_u * ones - sum_a * mixed) / determinant
        if fixed < 0:
            fixed, unit = 0.0, sum_u / squares
        elif unit < 0:
            fixed, unit = sum_a / ones, 0.0
    return StepCost(fixed_seconds=fixed, floor_seconds=0.0, unit_seconds=unit, job_seconds=0.0, source=source)
