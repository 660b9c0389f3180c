"""Statuses to draw."""

from dataclasses import replace

from protocol.jobs import Role
from protocol.status import AgentStatus, Alarm, RoleStatus, RunStatus, StudyStatus


def study(name: str, mean: float | None, version: int = 0, scored: int = 8) -> StudyStatus:
    return StudyStatus(
        study=name, policy_version=version, num_items=8, num_scored=scored, num_invalid=0, num_unparsed=0, mean_score=mean,
        score_stderr=0.02, unique_share=1.0,
    )  # fmt: skip


def agent(name: str, role: Role, *, done: int, busy: float, jobs: tuple[str, ...] = (), memory: int = 0) -> AgentStatus:
    return AgentStatus(
        agent=name, role=role, state="busy" if jobs else "idle", hostname="here", pid=1, gpus=(0,) if memory else (), job_ids=jobs,
        jobs_done=done, jobs_failed=0, busy_seconds=busy, last_seen_seconds=0.2, gpu_memory_bytes=memory,
        gpu_busy_share=0.87 if memory else None,
    )  # fmt: skip


def role(name: Role, busy: float, present: float = 100.0, recent: float | None = None, agents: int = 1) -> RoleStatus:
    return RoleStatus(
        role=name, num_agents=agents, busy_seconds=busy, present_seconds=present,
        recent_busy_share=busy / present if recent is None else recent,
    )  # fmt: skip


STATUS = RunStatus(
    run_id="quickstart", phase="running", round=2, num_rounds=3, policy_version=1, started_at=0.0, elapsed_seconds=100.0, eta_seconds=61.0,
    items_done=250, items_total=1000, policy_lag=0, edits_per_hour=9000.0, recent_edits_per_hour=12000.0,
    jobs_waiting={"proposer": 0, "trainer": 40, "evaluator": 1, "critic": 0}, frames_dropped=0,
    agents=(
        agent("proposer-0", "proposer", done=9, busy=20.0),
        agent("trainer-0", "trainer", done=120, busy=97.0, jobs=("round-2/ada/e0/r0/adapt", "round-2/bob/e1/r0/adapt")),
        agent("evaluator-0", "evaluator", done=121, busy=31.0),
        agent("critic-0", "critic", done=1, busy=0.1),
    ),
    wanted=(),
    studies=(study("round-1", 0.274), study("heldout-v0", 0.289), study("round-2", 0.412, 1, scored=3)),
    problems=("a [red]problem[/red]",),
    roles=(role("proposer", 20.0), role("trainer", 97.0), role("evaluator", 31.0), role("critic", 0.1)),
    alarms=(Alarm(kind="plateau", subject="policy v1", text="the reward has not risen"),),
)  # fmt: skip


def with_gpu(status: RunStatus) -> RunStatus:
    agents = tuple(
        replace(a, gpus=(3,), gpu_memory_bytes=5 << 30, gpu_busy_share=0.87) if a.role == "trainer" else a for a in status.agents
    )
    return replace(status, agents=agents)
