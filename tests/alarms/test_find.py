from protocol.status import AgentStatus, StudyStatus
from seal_runtime.alarms.find import find_alarms, paces_of, points_of


def study(name: str, version: int, mean: float | None, scored: int = 40, unique: float | None = 1.0) -> StudyStatus:
    return StudyStatus(
        study=name, policy_version=version, num_items=40, num_scored=scored, num_invalid=0, num_unparsed=0, mean_score=mean,
        score_stderr=0.01, unique_share=unique,
    )  # fmt: skip


def test_rounds_meet_the_held_out_scores_of_their_policy() -> None:
    points = points_of([study("round-1", 0, 0.3), study("heldout-v0", 0, 0.5), study("no-update", 0, 0.1), study("heldout-v1", 1, 0.4)])
    assert [(point.policy_version, point.reward, point.heldout) for point in points] == [(0, 0.3, 0.5), (1, None, 0.4)]
    assert [point.num_edits for point in points] == [40, 0]


def test_a_study_under_way_is_no_point_yet() -> None:
    assert points_of([study("round-1", 0, 0.3, scored=39)]) == []


def test_alarms_name_their_subject() -> None:
    studies = [
        made
        for version, (reward, heldout) in enumerate([(0.3, 0.5), (0.4, 0.45), (0.5, 0.4)])
        for made in (study(f"round-{version + 1}", version, reward), study(f"heldout-v{version}", version, heldout))
    ]
    agents = [
        AgentStatus(
            agent=f"trainer-{index}", role="trainer", state="idle", hostname="", pid=1, gpus=(), job_ids=(), jobs_done=jobs, jobs_failed=0,
            busy_seconds=100.0, last_seen_seconds=0.0, gpu_memory_bytes=0, gpu_busy_share=None,
        )
        for index, jobs in enumerate((100, 5))
    ]  # fmt: skip
    alarms = find_alarms(points_of(studies), paces_of(agents))
    assert [(alarm.kind, alarm.subject) for alarm in alarms] == [("reward_hacking", "policy v2"), ("slow_agent", "trainer-1")]
