import pytest
from plans import cost

from seal_runtime.planning.step_cost import StepCost, through_points


def test_a_step_costs_its_floor_until_its_rows_cost_more():
    step = StepCost(fixed_seconds=1.0, floor_seconds=4.0, unit_seconds=0.5, job_seconds=0.25, source="")
    assert step.seconds(2.0, 1) == 1.0 + 4.0 + 0.25
    assert step.seconds(20.0, 4) == 1.0 + 10.0 + 1.0
    assert step.times(2.0).seconds(20.0, 4) == 24.0


def test_points_on_a_line_give_the_line():
    found = through_points([(10.0, 3.0), (20.0, 4.0), (40.0, 6.0)], "bench")
    assert found.fixed_seconds == pytest.approx(2.0)
    assert found.unit_seconds == pytest.approx(0.1)
    assert found.source == "bench"


def test_one_point_and_falling_points_give_nothing_negative():
    assert through_points([(10.0, 5.0)], "test") == cost(0.0, 0.5)
    falling = through_points([(10.0, 5.0), (20.0, 4.0)], "")
    assert falling.unit_seconds == 0.0
    assert 4.0 < falling.fixed_seconds < 5.0
    steep = through_points([(10.0, 1.0), (20.0, 3.0)], "")
    assert steep.fixed_seconds == 0.0
    assert steep.unit_seconds > 0.0
