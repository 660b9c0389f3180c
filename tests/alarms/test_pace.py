from seal_runtime.alarms.pace import slow_agents
from seal_runtime.alarms.points import AgentPace


def pace(agent: str, jobs: int, seconds: float, role: str = "trainer") -> AgentPace:
    return AgentPace(agent=agent, role=role, num_jobs=jobs, busy_seconds=seconds)


def test_an_agent_three_times_slower_than_its_peers_is_named() -> None:
    found = slow_agents([pace("trainer-0", 100, 100.0), pace("trainer-1", 90, 100.0), pace("trainer-2", 30, 100.0)])
    assert [agent for agent, _ in found] == ["trainer-2"]
    # 100 s / 30 jobs = 3.33 s; the peers' median of 1 s and 1.11 s is 1.06 s.
    assert "3.3 s at work for a job, its peers 1.1 s" in found[0][1]


def test_twice_as_slow_is_not_enough() -> None:
    assert slow_agents([pace("trainer-0", 100, 100.0), pace("trainer-1", 50, 100.0)]) == []


def test_agents_of_other_roles_are_no_peers() -> None:
    assert slow_agents([pace("trainer-0", 10, 100.0), pace("evaluator-0", 1000, 100.0, role="evaluator")]) == []


def test_nothing_is_said_before_a_minute_of_work_or_without_peers_to_compare_with() -> None:
    assert slow_agents([pace("trainer-0", 100, 59.0), pace("trainer-1", 1, 59.0)]) == []
    assert slow_agents([pace("trainer-0", 9, 10.0), pace("trainer-1", 1, 100.0)]) == []


def test_an_agent_that_never_finishes_a_job_is_slow() -> None:
    found = slow_agents([pace("trainer-0", 100, 100.0), pace("trainer-1", 0, 70.0)])
    assert [agent for agent, _ in found] == ["trainer-1"]
    assert "has finished no job in 70 s" in found[0][1]
