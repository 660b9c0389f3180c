"""The agents' lives as the controller sees them: who joins, is ready, beats, is stuck, drains, leaves or is given up.

Invariant: what an agent held when it went is given to others; only an agent that died is held against the jobs that it held. A silent
agent may come back (its process was stopped, its network was cut), so it is told nothing and registers again; one that is known to be
hung is refused, so that it ends and is started again.
"""

from collections.abc import Callable

from protocol.messages import Drain, Reject
from seal_runtime.config.topology import Topology
from seal_runtime.controller.agents_table import AgentEntry, AgentsTable
from seal_runtime.controller.dispatch import Dispatcher, Ticket
from seal_runtime.controller.events import (
    AgentBeat,
    AgentDiagnosed,
    AgentEvent,
    AgentLeft,
    AgentReady,
    AgentRegistered,
    DrainRequested,
)
from seal_runtime.controller.outbox import Outbox
from seal_runtime.controller.supervision import Supervision, diagnosis_of
from seal_runtime.ledger.records import AgentGone, AgentJoined

SetAside = Callable[[Ticket, str, float], None]

DRAIN_HEARD_SECONDS = 0.5
"""An agent whose main thread came round within this time has read a Drain, if it ever got one."""


class Membership:
    """Turns the agents' events into changes of the table. `set_aside` takes the jobs that killed too many agents."""

    def __init__(
        self, topology: Topology, agents: AgentsTable, dispatcher: Dispatcher, supervision: Supervision, out: Outbox, set_aside: SetAside
    ) -> None:
        self._stuck_seconds = topology.limits.stuck_seconds
        self._agents = agents
        self._dispatcher = dispatcher
        self._supervision = supervision
        self._out = out
        self._set_aside = set_aside

    def handle(self, event: AgentEvent, now: float) -> None:
        """Take an event. Those of agents that are not in the table are ignored."""
        entry = self._agents.get(event.agent)
        if isinstance(event, AgentRegistered):
            self._registered(entry, event, now)
        elif entry is not None:
            match event:
                case AgentBeat():
                    self._beat(entry, event, now)
                case AgentReady():
                    self._ready(entry, event, now)
                case AgentLeft():
                    self._remove(entry, event.reason, now, died=event.died)
                case AgentDiagnosed():
                    self._diagnosed(entry, event, now)
                case DrainRequested():
                    self._drain(entry, now)

    def give_up_overdue(self, now: float) -> None:
        """Remove the agents that are silent, hung or never ready."""
        for overdue in self._supervision.overdue_agents(now):
            entry = overdue.agent
            if not overdue.is_silent:
                self._out.send(entry.name, Reject(reason=f"given up: {overdue.reason}"))
            self._remove(entry, f"{overdue.reason}{diagnosis_of(entry)}", now, died=True)

    def _registered(self, entry: AgentEntry | None, event: AgentRegistered, now: float) -> None:
        if entry is not None and entry.identity.incarnation == event.incarnation:
            self._agents.heard(entry, now)
            return
        if entry is not None:
            self._remove(entry, "another process registered under its name", now, died=True)
        self._agents.add(event, now)
        joined = AgentJoined(
            agent=event.agent,
            incarnation=event.incarnation,
            role=event.role,
            hostname=event.hostname,
            pid=event.pid,
            gpus=event.gpus,
        )
        self._out.commit(joined)
        self._out.log("info", "agent_joined", worker=event.agent, worker_role=event.role, hostname=event.hostname, pid=event.pid)

    def _ready(self, entry: AgentEntry, event: AgentReady, now: float) -> None:
        if not entry.is_ready:
            seconds = round(now - entry.registered_at, 3)
            self._out.log("info", "agent_ready", worker=event.agent, capacity=event.capacity, seconds=seconds)
        entry.is_ready, entry.capacity = True, event.capacity
        self._agents.heard(entry, now)
        self._agents.update(entry, now)

    def _beat(self, entry: AgentEntry, event: AgentBeat, now: float) -> None:
        self._agents.heard(entry, now)
        entry.step_age_seconds, entry.frames_dropped = event.step_age_seconds, event.frames_dropped
        entry.gpu_memory_bytes, entry.gpu_busy_share = event.gpu_memory_bytes, event.gpu_busy_share
        if entry.diagnosis is not None and event.step_age_seconds < self._stuck_seconds:
            self._out.log("info", "agent_came_round", worker=entry.name, worker_role=entry.identity.role)
            entry.diagnosis = None
        if event.state == "draining" and not entry.is_draining:
            entry.is_draining = True
            self._agents.update(entry, now)
        elif entry.is_draining and event.state != "draining" and event.step_age_seconds < DRAIN_HEARD_SECONDS:
            self._out.send(entry.name, Drain(reason="asked to drain"))  # the first one got lost; one too many does no harm
        for ticket in self._supervision.lost_leases(entry, event.job_ids, now):
            self._out.log("warning", "lease_lost", job=ticket.work.job_id, worker=entry.name, attempt=ticket.attempt)
            self._dispatcher.retry(ticket, now, delay=False)

    def _diagnosed(self, entry: AgentEntry, event: AgentDiagnosed, now: float) -> None:
        if event.incarnation != entry.identity.incarnation:
            return
        entry.diagnosis = event
        if entry.is_ready:
            self._out.log(
                "warning",
                "agent_stuck",
                worker=entry.name,
                worker_role=entry.identity.role,
                job=next(iter(entry.job_ids), ""),
                jobs=len(entry.job_ids),
                seconds=round(entry.step_age_seconds + now - entry.last_seen, 1),
                condition=event.condition,
                stack=" < ".join(event.stack),
            )

    def _remove(self, entry: AgentEntry, reason: str, now: float, *, died: bool) -> None:
        held = entry.work
        self._out.log("warning" if died else "info", "agent_left", worker=entry.name, reason=reason, died=died, jobs=len(entry.job_ids))
        if died:
            self._supervision.departed(f"{entry.label} is gone ({reason}); it held {held}", now)
        poison = self._dispatcher.release(entry, now, died=died)
        self._agents.remove(entry.name)
        self._out.commit(AgentGone(agent=entry.name, incarnation=entry.identity.incarnation, reason=reason))
        for ticket in poison:
            self._set_aside(ticket, f"poison: {ticket.num_deaths} agents died with it, the last was {entry.name} ({reason})", now)

    def _drain(self, entry: AgentEntry, now: float) -> None:
        if not entry.is_draining:
            entry.is_draining = True
            self._agents.update(entry, now)
            self._out.log("info", "agent_draining", worker=entry.name, jobs=len(entry.job_ids))
            self._out.send(entry.name, Drain(reason="asked to drain"))
