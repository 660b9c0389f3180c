"""Deadlines: which agents and jobs have exceeded theirs, and what people should worry about. Finds, does not act."""

from dataclasses import dataclass

from protocol.jobs import ROLES, Role
from seal_runtime.config.topology import Topology
from seal_runtime.controller.agents_table import AgentEntry, AgentsTable
from seal_runtime.controller.dispatch import Dispatcher, Ticket

MIN_LOST_LEASE_SECONDS = 30.0
"""A job that a beating agent has not mentioned for so long never reached it (its connection broke under the message)."""
ABSENCE_SHOWN_SECONDS = 20.0
"""A role without agents becomes a problem after so long; at the start they are on their way."""
DEPARTED_SHOWN_SECONDS = 60.0
QUIET_HEARTBEATS = 3
"""An agent that missed so many heartbeats gets no new jobs until it is heard again."""
SILENCE_SHOWN_SHARE = 0.5
EXAMINE_SHARE = 0.75
"""Shares of `bus.agent_timeout_seconds` (or `limits.stuck_seconds`, if less) after which a silent agent is named and looked at. Its own
watchdog (`agents.stacks`) has spoken after half of it."""
SHOWN_CALLS = 3
"""Innermost calls of a stuck thread that people see at once; the logs have all."""
LONG_JOB_SHARE = 0.5
"""A job at work for this share of `limits.job_timeout_seconds` is named."""
MAX_TICK_GAP_SECONDS = 3.0
"""A longer gap between ticks means that this process was stopped: silence during it proves nothing about the agents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """An agent or a job that exceeded a deadline, and how. `is_silent`: nothing proves that the agent does not come back."""

    agent: AgentEntry
    ticket: Ticket | None
    reason: str
    is_silent: bool = False


class Supervision:
    """Watches the clock on behalf of the state machine."""

    def __init__(self, topology: Topology, agents: AgentsTable, dispatcher: Dispatcher) -> None:
        self._limits = topology.limits
        self._agent_timeout_seconds = topology.bus.agent_timeout_seconds
        self._notice_seconds = min(topology.bus.agent_timeout_seconds, topology.limits.stuck_seconds)
        self._lost_lease_seconds = max(MIN_LOST_LEASE_SECONDS, 2 * topology.bus.agent_timeout_seconds)
        self._quiet_seconds = max(2.0, QUIET_HEARTBEATS * topology.bus.heartbeat_seconds)
        self._agents = agents
        self._dispatcher = dispatcher
        self._last_tick: float | None = None
        self._absent_since: dict[Role, float] = {}
        self._departed: list[tuple[float, str]] = []

    def tick(self, now: float) -> None:
        """Note that time passed; forgive silence while this process itself did not run."""
        gap = now - self._last_tick if self._last_tick is not None else 0.0
        if gap > MAX_TICK_GAP_SECONDS:
            for entry in self._agents.all():
                entry.last_seen = min(now, entry.last_seen + gap)
        self._last_tick = now
        self._agents.hush(self._quiet_seconds, now)
        self._departed = [(at, text) for at, text in self._departed if now - at < DEPARTED_SHOWN_SECONDS]

    def departed(self, text: str, now: float) -> None:
        """Keep an agent's death among the problems for a while."""
        self._departed.append((now, text))

    def overdue_agents(self, now: float) -> list[Overdue]:
        """Return the agents that are silent, took too long to start, or are in one step for too long."""
        found = []
        for entry in self._agents.all():
            silent, starting = now - entry.last_seen, now - entry.registered_at
            if silent > self._agent_timeout_seconds:
                found.append(Overdue(agent=entry, ticket=None, reason=f"silent for {silent:.0f} s", is_silent=True))
            elif not entry.is_ready and starting > self._limits.startup_timeout_seconds:
                reason = f"not ready {starting:.0f} s after it registered (limits.startup_timeout_seconds)"
                found.append(Overdue(agent=entry, ticket=None, reason=reason))
            elif entry.is_ready and entry.step_age_seconds > self._limits.step_timeout_seconds:
                reason = f"in one step for {entry.step_age_seconds:.0f} s (limits.step_timeout_seconds)"
                found.append(Overdue(agent=entry, ticket=None, reason=reason))
        return found

    def is_stuck(self, entry: AgentEntry) -> bool:
        """Say whether an agent's last heartbeat gave its step an age at which people should know of it."""
        return entry.is_ready and entry.step_age_seconds > self._limits.stuck_seconds

    def to_examine(self, now: float) -> list[AgentEntry]:
        """Return the agents that have just been silent for so long that their process should be looked at; each once a silence."""
        silent = [entry for entry in self._agents.all() if now - entry.last_seen > EXAMINE_SHARE * self._notice_seconds]
        found = [entry for entry in silent if entry.examined_at < entry.last_seen]
        for entry in found:
            entry.examined_at = now
        return found

    def overdue_jobs(self, now: float) -> list[Overdue]:
        """Return the leases that lasted too long."""
        found = []
        for ticket in self._dispatcher.leased():
            seconds, entry = now - ticket.leased_at, self._agents.get(ticket.agent)
            if entry is not None and seconds > self._limits.job_timeout_seconds:
                reason = f"not done after {seconds:.0f} s (limits.job_timeout_seconds)"
                found.append(Overdue(agent=entry, ticket=ticket, reason=reason))
        return found

    def lost_leases(self, entry: AgentEntry, job_ids: tuple[str, ...], now: float) -> list[Ticket]:
        """Renew the leases that a heartbeat mentions; return those that it has not mentioned for long."""
        mentioned, lost = set(job_ids), []
        for job_id in entry.job_ids:
            ticket = self._dispatcher.ticket(job_id)
            if job_id in mentioned:
                ticket.seen_at = now
            elif now - ticket.seen_at > self._lost_lease_seconds:
                lost.append(ticket)
        return lost

    def deserted_role(self, now: float) -> str | None:
        """Return why the run cannot go on: a role with waiting jobs has had no agent for too long."""
        waiting = self._dispatcher.num_waiting()
        for role in ROLES:
            if not waiting[role] or self._agents.of_role(role):
                self._absent_since.pop(role, None)
                continue
            seconds = now - self._absent_since.setdefault(role, now)
            if seconds > self._limits.no_agent_timeout_seconds:
                return (
                    f"{waiting[role]} job(s) wait for a {role} and none has been there for {seconds:.0f} s "
                    f"(limits.no_agent_timeout_seconds); `seal-runtime attach {role}` one and resume the run"
                )
        return None

    def problems(self, now: float) -> list[str]:
        """Return one line for each thing that people should look at."""
        lines = [text for _, text in self._departed]
        for entry in self._agents.all():
            silent = now - entry.last_seen
            if silent > SILENCE_SHOWN_SHARE * self._notice_seconds:
                lines.append(f"{entry.label} has been silent for {silent:.0f} s, {entry.work}{diagnosis_of(entry)}")
            elif self.is_stuck(entry):
                age = entry.step_age_seconds + silent
                lines.append(f"{entry.label} has been in one step for {age:.0f} s, {entry.work}{diagnosis_of(entry)}")
        for ticket in self._dispatcher.leased():
            seconds = now - ticket.leased_at
            if seconds > LONG_JOB_SHARE * self._limits.job_timeout_seconds:
                lines.append(f"job {ticket.work.job_id} has been with {ticket.agent} for {seconds:.0f} s")
        for role, since in self._absent_since.items():
            if now - since > ABSENCE_SHOWN_SECONDS:
                lines.append(f"no {role} for {now - since:.0f} s while jobs wait; `seal-runtime attach {role}` adds one")
        return lines


def diagnosis_of(entry: AgentEntry) -> str:
    """Return what is known of the cause, as the end of a sentence for people; "" when nothing is."""
    if entry.diagnosis is None:
        return ""
    calls = " < ".join(entry.diagnosis.stack[:SHOWN_CALLS])
    condition = f": {entry.diagnosis.condition}" if entry.diagnosis.condition else ""
    return condition + (f", at {calls}" if calls else "")
