from dataclasses import replace

import pytest
from rich.console import Console

from launch.status_panel import format_seconds, learning_curve, render, sparkline, status_line, visible_studies
from protocol.status import AgentStatus, RunStatus, StudyStatus, WantedAgents


def study(name: str, scored: int, items: int, mean: float | None, error: float | None = None, version: int = 0) -> StudyStatus:
    return StudyStatus(
        study=name,
        policy_version=version,
        num_items=items,
        num_scored=scored,
        num_invalid=1,
        num_unparsed=3,
        mean_score=mean,
        score_stderr=error,
        unique_share=1.0,
    )


def agent(name: str, role: str, state: str, jobs: tuple[str, ...], gpus: tuple[int, ...] = ()) -> AgentStatus:
    return AgentStatus(
        agent=name,
        role=role,  # type: ignore[arg-type]
        state=state,  # type: ignore[arg-type]
        hostname="here",
        pid=1,
        gpus=gpus,
        job_ids=jobs,
        jobs_done=12,
        jobs_failed=0,
        busy_seconds=30.0,
        last_seen_seconds=0.1,
        gpu_memory_bytes=0,
        gpu_busy_share=None,
    )


STATUS = RunStatus(
    run_id="quickstart",
    phase="running",
    round=2,
    num_rounds=3,
    policy_version=1,
    started_at=0.0,
    elapsed_seconds=63.0,
    eta_seconds=40.4,
    items_done=250,
    items_total=1000,
    policy_lag=0,
    edits_per_hour=None,
    recent_edits_per_hour=None,
    jobs_waiting={"trainer": 3},
    frames_dropped=0,
    agents=(
        agent("proposer-0", "proposer", "idle", ()),
        agent("trainer-0", "trainer", "busy", ("round-2/ada/e0/r0/adapt", "round-2/bob/e1/r0/adapt"), gpus=(3,)),
    ),
    wanted=(),
    studies=(
        study("round-1", 160, 160, 0.274, 0.021),
        study("heldout-v0", 80, 80, 0.289, 0.033),
        study("round-2", 10, 160, 0.412, 0.05, version=1),
        study("heldout-v1", 0, 80, None, version=1),
    ),
    problems=("trainer-1 [/red] was restarted",),
    roles=(),
    alarms=(),
)


def drawn(status: RunStatus, width: int = 100, height: int | None = None) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(status, width, height))
    return console.export_text()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_everything_that_matters_is_in_the_picture(width: int) -> None:
    text = drawn(STATUS, width)
    for expected in (
        "quickstart",
        "running",
        "round 2 of 3",
        "policy v1",
        "1m03s",
        "about 40s left",
        "250/1000",
        "27.4 ± 2.1",
        "trainer-0",
    ):
        assert expected in text
    assert all(len(line) <= width for line in text.splitlines())


def test_agents_show_device_work_and_busy_share() -> None:
    line = next(line for line in drawn(STATUS).splitlines() if "trainer-0" in line)
    assert "gpu 3" in line
    assert "round-2/ada/e0/r0/adapt +1" in line
    assert "48 %" in line


def test_text_of_a_run_is_never_markup() -> None:
    assert "trainer-1 [/red] was restarted" in drawn(STATUS)


def test_a_study_without_score_shows_a_dash() -> None:
    line = next(line for line in drawn(STATUS).splitlines() if "heldout-v1" in line)
    assert "0/80" in line
    assert " - " in line


def test_a_run_without_agents_and_studies_can_be_drawn() -> None:
    empty = replace(STATUS, agents=(), studies=(), items_done=0, items_total=0, eta_seconds=None, elapsed_seconds=0.0)
    text = drawn(empty)
    assert "no agent yet" in text
    assert "time left unknown" in text


def test_dropped_frames_are_told() -> None:
    assert "7 malformed frames dropped" in drawn(replace(STATUS, frames_dropped=7))


def test_a_low_terminal_keeps_what_is_under_way_and_the_latest() -> None:
    studies = (*(study(f"round-{n}", 10, 11, 0.1 * n) for n in range(1, 6)), study("round-6", 3, 11, 0.6), study("round-7", 0, 11, None))
    assert [found.study for found in visible_studies(studies, 3)] == ["round-4", "round-5", "round-6"]


def test_a_picture_fits_the_height_it_is_given() -> None:
    many = replace(STATUS, studies=tuple(study(f"round-{n}", 10, 11, 0.5) for n in range(30)))
    assert len(drawn(many, height=24).splitlines()) <= 24


def test_sparkline_spans_lowest_to_highest() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([0.3, 0.3]) == "▁▁"


def test_learning_curve_needs_two_points() -> None:
    assert learning_curve(STATUS.studies) == "reward ▁█ 27.4 → 41.2"
    assert learning_curve(STATUS.studies[:1]) == ""


def test_durations_read_well() -> None:
    assert [format_seconds(value) for value in (7.4, 63.0, 3600.0, 7512.0)] == ["7s", "1m03s", "1h00m", "2h05m"]


def test_the_status_fits_a_line() -> None:
    assert status_line(STATUS) == (
        "[1m03s] running: round 2 of 3, policy v1, 250/1000 scored, 1 of 2 agents busy, round-2 reward 41.2 ± 5.0 %, about 40s left"
    )


def test_a_silent_agent_says_for_how_long_and_before_its_work() -> None:
    silent = replace(agent("trainer-0", "trainer", "busy", ("round-1/ada/e0/r0/adapt",)), last_seen_seconds=7.2)
    assert "silent 7s  round-1/ada/e0/r0/adapt" in drawn(replace(STATUS, agents=(silent,)))
    assert "silent" not in drawn(STATUS)


def test_a_scaled_role_is_shown_with_its_number() -> None:
    wanted = (WantedAgents(role="trainer", count=4, request=2), WantedAgents(role="critic", count=1, request=0))
    assert "scaled to trainer=4 " in drawn(replace(STATUS, wanted=wanted))
    assert "scaled" not in drawn(replace(STATUS, wanted=wanted, phase="done"))
