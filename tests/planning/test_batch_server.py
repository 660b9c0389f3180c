import pytest
from plans import cost

from seal_runtime.planning.batch_server import BatchServer, EngineJob


def job(name: str, num_steps: int, units: float = 1.0, lead_seconds: float = 0.0, version: int = 0) -> EngineJob:
    return EngineJob(job_id=name, num_steps=num_steps, units=units, lead_seconds=lead_seconds, version=version)


def finished(server: BatchServer) -> list[tuple[str, float]]:
    """Let a server work to its end and return its jobs with the times of their ends."""
    found = []
    while (end := server.next_end()) is not None:
        found += [(name, round(end, 6)) for name in server.advance(end)]
    return found


def test_jobs_at_work_share_their_steps_and_a_free_slot_is_filled_with_the_longest():
    server = BatchServer(cost(1.0, 0.5), num_slots=2)
    for name, steps in (("short", 2), ("long", 4), ("longest", 6)):
        server.submit(job(name, steps), 0.0)
    # The first finds an empty slot, the second too, the third waits. Two jobs: 2 s a step; alone: 1.5 s.
    assert finished(server) == [("short", 4.0), ("long", 8.0), ("longest", 8.0 + 4 * 1.5)]
    assert server.busy_seconds == pytest.approx(14.0)
    assert server.job_seconds == pytest.approx(4.0 * 2 + 4.0 * 2 + 6.0)


def test_a_job_that_joins_slows_the_others_from_then_on():
    server = BatchServer(cost(0.0, 1.0), num_slots=2)
    server.submit(job("first", 4), 0.0)
    assert server.advance(2.0) == []
    server.submit(job("second", 1), 2.0)
    assert finished(server) == [("second", 4.0), ("first", 5.0)]


def test_lead_time_holds_up_everybody():
    server = BatchServer(cost(0.0, 1.0), num_slots=2)
    server.submit(job("first", 2), 0.0)
    server.advance(1.0)
    server.submit(job("second", 3, lead_seconds=10.0), 1.0)
    assert finished(server) == [("first", 13.0), ("second", 15.0)]


def test_versions_are_never_at_work_together_and_the_oldest_goes_first():
    server = BatchServer(cost(1.0, 0.0), num_slots=4)
    server.submit(job("one", 2, version=1), 0.0)
    for name, version in (("two", 2), ("zero", 0), ("other one", 1)):
        server.submit(job(name, 1, version=version), 0.0)
    assert finished(server) == [("one", 2.0), ("zero", 3.0), ("other one", 4.0), ("two", 5.0)]


def test_a_cancelled_job_makes_room():
    server = BatchServer(cost(0.0, 1.0), num_slots=1)
    server.submit(job("first", 100), 0.0)
    server.submit(job("second", 1), 0.0)
    server.advance(5.0)
    server.cancel("first")
    assert finished(server) == [("second", 6.0)]
    assert server.num_held == 0
