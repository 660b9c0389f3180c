from launch.restarts import HEALTHY_LIFE_SECONDS, RestartBudget


def test_each_death_doubles_the_wait() -> None:
    budget = RestartBudget(max_restarts=4)
    assert [budget.next_delay(1.0) for _ in range(4)] == [0.5, 1.0, 2.0, 4.0]


def test_the_budget_ends() -> None:
    budget = RestartBudget(max_restarts=1)
    assert [budget.next_delay(1.0) for _ in range(3)] == [0.5, None, None]


def test_no_restart_is_a_budget_too() -> None:
    assert RestartBudget(max_restarts=0).next_delay(1.0) is None


def test_the_wait_is_bounded() -> None:
    budget = RestartBudget(max_restarts=100)
    assert max(delay for _ in range(100) if (delay := budget.next_delay(1.0)) is not None) == 30.0


def test_a_healthy_life_pays_for_the_deaths_before() -> None:
    budget = RestartBudget(max_restarts=2)
    assert [budget.next_delay(1.0), budget.next_delay(1.0)] == [0.5, 1.0]
    assert budget.next_delay(HEALTHY_LIFE_SECONDS) == 0.5
    assert [budget.next_delay(1.0), budget.next_delay(1.0)] == [1.0, None]
