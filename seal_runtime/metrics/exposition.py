"""A run's status in the Prometheus text format, through prometheus_client. Names begin with `seal_`, units stand in them.

Labels have few values: studies are labelled by what they measure (`reward`, `heldout`, `retention`, `cpt`, `continual` or a
baseline's name), not by round.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from protocol.status import RunStatus, StudyStatus

if TYPE_CHECKING:
    from prometheus_client import Metric

_SERIES = (
    ("round-", "reward"),
    ("heldout-v", "heldout"),
    ("retention-v", "retention"),
    ("cpt-v", "cpt"),
    ("continual-v", "continual"),
)


class StatusCollector:
    """Turns one status into metric families. Needs prometheus_client when it collects, not before."""

    def __init__(self, status: RunStatus) -> None:
        self._status = status

    def collect(self) -> "Iterator[Metric]":
        """Yield the families, as prometheus_client's registry asks for them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        status = self._status
        yield InfoMetricFamily("seal_run", "The run.", value={"run": status.run_id, "phase": status.phase})
        for name, text, value in _gauges(status):
            if value is not None:
                yield GaugeMetricFamily(f"seal_{name}", text, value=value)
        queues = GaugeMetricFamily("seal_jobs_waiting", "Jobs that wait for an agent of the role.", labels=["role"])
        for role, waiting in status.jobs_waiting.items():
            queues.add_metric([role], waiting)
        yield queues
        for name, text, samples in _role_counters(status):
            counter = CounterMetricFamily(f"seal_{name}", text, labels=["role"])
            for role, value in samples:
                counter.add_metric([role], value)
            yield counter
        yield from self._agents()
        yield from self._scores()

    def _agents(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        labels = ["agent", "role"]
        done = CounterMetricFamily("seal_agent_jobs", "Jobs that the agent has done.", labels=labels)
        failed = CounterMetricFamily("seal_agent_jobs_failed", "Attempts of the agent that failed.", labels=labels)
        memory = GaugeMetricFamily("seal_agent_gpu_memory_bytes", "GPU memory that the agent's process holds.", labels=labels)
        used = GaugeMetricFamily("seal_agent_gpu_busy_ratio", "Share of time in which the agent's GPUs work.", labels=labels)
        for agent in self._status.agents:
            names = [agent.agent, agent.role]
            done.add_metric(names, agent.jobs_done)
            failed.add_metric(names, agent.jobs_failed)
            memory.add_metric(names, agent.gpu_memory_bytes)
            if agent.gpu_busy_share is not None:
                used.add_metric(names, agent.gpu_busy_share)
        yield from (done, failed, memory, used)

    def _scores(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        score = GaugeMetricFamily("seal_score_ratio", "Mean score of the newest study of a kind.", labels=["kind"])
        unique = GaugeMetricFamily(
            "seal_unique_edits_ratio", "Share of different self-edits within a context, same study.", labels=["kind"]
        )
        unparsed = GaugeMetricFamily("seal_unparsed_edits", "Self-edits of the same study that could not be parsed.", labels=["kind"])
        for kind, study in _newest(self._status.studies).items():
            if study.mean_score is not None:
                score.add_metric([kind], study.mean_score)
            if study.unique_share is not None:
                unique.add_metric([kind], study.unique_share)
            unparsed.add_metric([kind], study.num_unparsed)
        alarms = GaugeMetricFamily("seal_alarm", "1 while the alarm holds.", labels=["kind", "subject"])
        for alarm in self._status.alarms:
            alarms.add_metric([alarm.kind, alarm.subject], 1)
        yield from (score, unique, unparsed, alarms)


def exposition(status: RunStatus) -> tuple[bytes, str]:
    """Return a status in the text format, and its content type. Raises ImportError without prometheus_client."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(StatusCollector(status))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _gauges(status: RunStatus) -> Iterable[tuple[str, str, float | None]]:
    return (
        ("round", "Round that is being worked on.", status.round),
        ("rounds", "Rounds of the run.", status.num_rounds),
        ("policy_version", "Newest policy version.", status.policy_version),
        ("policy_lag_versions", "How many versions older the policy of the round under way is.", status.policy_lag),
        ("edits_scored", "Self-edits that are scored or given up.", status.items_done),
        ("edits_planned", "Self-edits of the whole run.", status.items_total),
        ("edits_per_hour", "Scored self-edits an hour over the whole run.", status.edits_per_hour),
        ("recent_edits_per_hour", "Scored self-edits an hour over the last two minutes.", status.recent_edits_per_hour),
        ("elapsed_seconds", "Time that the run has been worked on.", status.elapsed_seconds),
        ("eta_seconds", "Estimated time left.", status.eta_seconds),
        ("frames_dropped", "Malformed frames.", status.frames_dropped),
        ("problems", "Problems that people should look at.", len(status.problems)),
    )


def _role_counters(status: RunStatus) -> Iterable[tuple[str, str, list[tuple[str, float]]]]:
    busy: list[tuple[str, float]] = [(role.role, role.busy_seconds) for role in status.roles]
    present: list[tuple[str, float]] = [(role.role, role.present_seconds) for role in status.roles]
    yield "busy_agent_seconds", "Agent-seconds with at least one job since the controller started.", busy
    yield "present_agent_seconds", "Agent-seconds in which an agent was ready since the controller started.", present


def _newest(studies: Iterable[StudyStatus]) -> dict[str, StudyStatus]:
    """Return the newest study of each kind that has a score; the order of the statuses is that of their opening."""
    newest: dict[str, StudyStatus] = {}
    for study in studies:
        kind = next((name for prefix, name in _SERIES if study.study.startswith(prefix)), study.study)
        if study.mean_score is not None:
            newest[kind] = study
    return newest
