import pytest
from plans import cost

from seal_runtime.planning.batch_server import BatchServer, EngineJob
from seal_runtime.planning.run_times import Arrival, fitted


def worked(true_cost, num_slots: int, gap_seconds: float) -> list[Arrival]:
    """Return the jobs of an agent as its ledger would tell them, one taken every `gap_seconds`."""
    jobs = [
        EngineJob(job_id=f"j{index}", num_steps=10 + 7 * (index % 5), units=5.0 + index % 3, lead_seconds=0.0, version=0)
        for index in range(40)
    ]
    server, ends = BatchServer(true_cost, num_slots), {}
    for index, job in enumerate(jobs):
        at = index * gap_seconds
        while (end := server.next_end()) is not None and end <= at:
            ends.update(dict.fromkeys(server.advance(end), end))
        server.advance(at)
        server.submit(job, at)
    while (end := server.next_end()) is not None:
        ends.update(dict.fromkeys(server.advance(end), end))
    return [(index * gap_seconds, ends[job.job_id] - index * gap_seconds, job) for index, job in enumerate(jobs)]


@pytest.mark.parametrize(("fixed", "unit", "gap_seconds"), [(0.0, 0.03, 3.0), (0.3, 0.01, 2.0), (0.3, 0.01, 8.0)])
def test_the_cost_behind_durations_with_waiting_and_sharing_is_found(fixed, unit, gap_seconds):
    found = fitted([worked(cost(fixed, unit), 4, gap_seconds)], 4, "run")
    assert found.seconds(20.0, 4) == pytest.approx(fixed + 20.0 * unit, rel=0.05)
    assert found.seconds(6.0, 1) == pytest.approx(fixed + 6.0 * unit, rel=0.1)
    assert found.source == "run"
