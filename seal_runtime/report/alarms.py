"""The alarms of a run for its report, by the rules of `seal_runtime.alarms` over the report's own figures."""

from collections.abc import Mapping, Sequence

from protocol.status import Alarm
from seal_runtime.alarms.find import find_alarms
from seal_runtime.alarms.points import AgentPace, RoundPoint
from seal_runtime.report.model import AgentShare, RoundSummary, TableRow


def report_alarms(
    rounds: Sequence[RoundSummary], table: Sequence[TableRow], agents: Sequence[AgentShare], roles: Mapping[str, str]
) -> tuple[Alarm, ...]:
    """Return the alarms; `roles` is the role of each agent. Rounds and held-out measurements that are not complete do not count."""
    return find_alarms(_points(rounds, table), [_pace(agent, roles[agent.agent]) for agent in agents if agent.agent in roles])


def _points(rounds: Sequence[RoundSummary], table: Sequence[TableRow]) -> list[RoundPoint]:
    heldout = {row.policy_version: row for row in table if row.group == "own" and row.mean_percent is not None and not row.num_missing}
    finished = [item for item in rounds if not item.num_missing]
    used = {item.policy_version for item in finished}
    points = [_point(item.policy_version, item, heldout.get(item.policy_version)) for item in finished]
    points += [_point(version, None, row) for version, row in heldout.items() if version not in used]
    return sorted(points, key=lambda point: point.policy_version)


def _point(version: int, item: RoundSummary | None, row: TableRow | None) -> RoundPoint:
    return RoundPoint(
        policy_version=version,
        reward=item.mean_reward if item is not None else None,
        reward_stderr=item.stderr_reward if item is not None else None,
        heldout=_fraction(row.mean_percent) if row is not None else None,
        heldout_stderr=_fraction(row.stderr_percent) if row is not None else None,
        num_edits=item.num_edits if item is not None else 0,
        num_unparsed=item.num_unparsed if item is not None else 0,
        unique_share=item.distinct_share if item is not None else None,
    )


def _fraction(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _pace(agent: AgentShare, role: str) -> AgentPace:
    return AgentPace(agent=agent.agent, role=role, num_jobs=agent.num_jobs, busy_seconds=agent.busy_share * agent.present_seconds)
