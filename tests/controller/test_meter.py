import pytest

from seal_runtime.controller.agents_table import AgentsTable
from seal_runtime.controller.events import AgentRegistered
from seal_runtime.controller.meter import AgentSeconds, Meter
from seal_runtime.controller.time_shares import shares_of


def table(*roles: str) -> AgentsTable:
    agents = AgentsTable()
    for index, role in enumerate(roles):
        identity = AgentRegistered(
            agent=f"{role}-{index}", incarnation=f"i{index}", role=role, capacity=4, hostname="", pid=1, gpus=()  # type: ignore[arg-type]
        )  # fmt: skip
        entry = agents.add(identity, 0.0)
        entry.is_ready = True
    return agents


def busy(agents: AgentsTable, name: str, now: float, *jobs: str) -> None:
    entry = agents.get(name)
    assert entry is not None
    entry.job_ids = dict.fromkeys(jobs)
    agents.update(entry, now)


def test_agent_seconds_add_up_by_role() -> None:
    agents, meter = table("trainer", "trainer", "evaluator"), Meter()
    meter.tick(agents, 0, 0.0)
    busy(agents, "trainer-0", 0.0, "a", "b")
    busy(agents, "trainer-1", 0.5, "c")
    meter.tick(agents, 0, 1.0)
    busy(agents, "trainer-0", 1.5)
    meter.tick(agents, 0, 2.0)
    seconds = meter.seconds()
    assert seconds.busy["trainer"] == pytest.approx(1.0 + 0.5 + 0.5 + 1.0)
    assert seconds.present["trainer"] == pytest.approx(4.0)
    assert (seconds.busy["evaluator"], seconds.present["evaluator"]) == (0.0, 2.0)


def test_time_in_which_the_controller_did_not_run_counts_for_nothing() -> None:
    agents, meter = table("trainer"), Meter()
    busy(agents, "trainer-0", 0.0, "a")
    meter.tick(agents, 0, 0.0)
    meter.tick(agents, 0, 100.0)
    assert meter.seconds().present["trainer"] == 0.0
    meter.tick(agents, 0, 101.0)
    assert (meter.seconds().busy["trainer"], meter.seconds().present["trainer"]) == (1.0, 1.0)


def test_the_recent_rate_forgets_what_is_older_than_two_minutes() -> None:
    agents, meter = table("trainer"), Meter()
    for second in range(301):
        meter.tick(agents, 0 if second < 200 else second - 200, float(second))
    # 100 edits in the last 100 s, none in the 20 s before.
    assert meter.recent_edits_per_hour(100, 300.0) == pytest.approx(3600 * 100 / 120)


def test_nothing_is_said_of_the_first_seconds() -> None:
    agents, meter = table("trainer"), Meter()
    meter.tick(agents, 0, 0.0)
    assert meter.recent_edits_per_hour(5, 5.0) is None
    assert [role.recent_busy_share for role in meter.roles(agents)] == [None] * 4


def test_an_agent_that_left_and_came_back_does_not_count_twice() -> None:
    agents, meter = table("trainer"), Meter()
    busy(agents, "trainer-0", 0.0, "a")
    meter.tick(agents, 0, 0.0)
    meter.tick(agents, 0, 2.0)
    agents.remove("trainer-0")
    meter.tick(agents, 0, 3.0)
    again = table("trainer")
    busy(again, "trainer-0", 3.0, "a")
    meter.tick(again, 0, 4.0)
    meter.tick(again, 0, 5.0)
    assert meter.seconds().busy["trainer"] == pytest.approx(2.0 + 1.0)


def test_shares_add_up_to_one_and_a_critics_waiting_does_not_count() -> None:
    seconds = AgentSeconds(
        busy={"proposer": 1.0, "trainer": 6.0, "evaluator": 2.0, "critic": 0.5},
        present={"proposer": 4.0, "trainer": 8.0, "evaluator": 4.0, "critic": 100.0},
    )
    shares = shares_of(seconds)
    assert shares is not None
    total = 9.5 + 3.0 + 2.0 + 2.0
    assert shares["adapting"] == pytest.approx(6.0 / total)
    assert shares["waiting"] == pytest.approx(7.0 / total)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_no_time_has_no_shares() -> None:
    zero = dict.fromkeys(("proposer", "trainer", "evaluator", "critic"), 0.0)
    assert shares_of(AgentSeconds(busy=zero, present=zero)) is None  # type: ignore[arg-type]
