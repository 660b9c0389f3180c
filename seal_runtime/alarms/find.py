"""Find all alarms of a run, from its status or from figures gathered elsewhere."""

from collections.abc import Callable, Sequence

from protocol.status import AgentStatus, Alarm, AlarmKind, StudyStatus
from seal_runtime.alarms.learning import diversity_collapse, parse_failures, plateau, reward_hacking
from seal_runtime.alarms.pace import slow_agents
from seal_runtime.alarms.points import AgentPace, RoundPoint

_ROUND, _HELDOUT = "round-", "heldout-v"
_RULES: tuple[tuple[AlarmKind, Callable[[Sequence[RoundPoint]], str | None]], ...] = (
    ("reward_hacking", reward_hacking),
    ("diversity_collapse", diversity_collapse),
    ("parse_failures", parse_failures),
    ("plateau", plateau),
)


def find_alarms(points: Sequence[RoundPoint], paces: Sequence[AgentPace]) -> tuple[Alarm, ...]:
    """Return the alarms, those about the learning first. `points` are oldest first."""
    found = []
    for kind, rule in _RULES:
        text = rule(points)
        if text is not None:
            found.append(Alarm(kind=kind, subject=f"policy v{points[-1].policy_version}", text=text))
    return (*found, *(Alarm(kind="slow_agent", subject=agent, text=text) for agent, text in slow_agents(paces)))


def points_of(studies: Sequence[StudyStatus]) -> list[RoundPoint]:
    """Return a point for each finished round in their order, and one for each policy version that has only a held-out score."""
    finished = [study for study in studies if study.num_scored + study.num_invalid >= study.num_items]
    heldout = {study.policy_version: study for study in finished if study.study.startswith(_HELDOUT)}
    rounds = [study for study in finished if study.study.startswith(_ROUND)]
    points = [_point(study.policy_version, study, heldout.get(study.policy_version)) for study in rounds]
    used = {study.policy_version for study in rounds}
    points += [_point(version, None, study) for version, study in heldout.items() if version not in used]
    return sorted(points, key=lambda point: point.policy_version)


def paces_of(agents: Sequence[AgentStatus]) -> list[AgentPace]:
    """Return the agents' paces."""
    return [AgentPace(agent=a.agent, role=a.role, num_jobs=a.jobs_done, busy_seconds=a.busy_seconds) for a in agents]


def _point(version: int, reward: StudyStatus | None, heldout: StudyStatus | None) -> RoundPoint:
    return RoundPoint(
        policy_version=version,
        reward=reward.mean_score if reward is not None else None,
        reward_stderr=reward.score_stderr if reward is not None else None,
        heldout=heldout.mean_score if heldout is not None else None,
        heldout_stderr=heldout.score_stderr if heldout is not None else None,
        num_edits=reward.num_scored if reward is not None else 0,
        num_unparsed=reward.num_unparsed if reward is not None else 0,
        unique_share=reward.unique_share if reward is not None else None,
    )
