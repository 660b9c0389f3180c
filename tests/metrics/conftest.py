"""A status with a bit of everything."""

import pytest

from protocol.status import AgentStatus, Alarm, RoleStatus, RunStatus, StudyStatus


def study(name: str, version: int, mean: float | None) -> StudyStatus:
    return StudyStatus(
        study=name, policy_version=version, num_items=4, num_scored=4, num_invalid=0, num_unparsed=1, mean_score=mean, score_stderr=0.1,
        unique_share=0.75,
    )  # fmt: skip


@pytest.fixture
def status() -> RunStatus:
    agent = AgentStatus(
        agent='trainer-"0"', role="trainer", state="busy", hostname="here", pid=1, gpus=(1,), job_ids=("j",), jobs_done=7, jobs_failed=2,
        busy_seconds=3.0, last_seen_seconds=0.1, gpu_memory_bytes=1 << 30, gpu_busy_share=0.5,
    )  # fmt: skip
    return RunStatus(
        run_id="r", phase="running", round=2, num_rounds=3, policy_version=1, started_at=0.0, elapsed_seconds=10.0, eta_seconds=None,
        items_done=8, items_total=12, policy_lag=0, edits_per_hour=2880.0, recent_edits_per_hour=None, jobs_waiting={"trainer": 5},
        frames_dropped=0, agents=(agent,), wanted=(),
        studies=(study("round-1", 0, 0.25), study("round-2", 1, 0.5), study("round-3", 2, None)),
        problems=("no critic",), alarms=(Alarm(kind="plateau", subject="policy v1", text="flat"),),
        roles=(RoleStatus(role="trainer", num_agents=1, busy_seconds=3.0, present_seconds=10.0, recent_busy_share=0.3),),
    )  # fmt: skip
