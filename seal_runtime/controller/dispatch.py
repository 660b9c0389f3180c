"""Who does which job: queues, leases, attempts. Knows nothing of studies; decides nothing about results.

Invariants: an open job is waiting or leased to exactly one agent; the attempt number of a lease is never used again for that job, also
not by a restarted controller (`epoch`); a job whose agents keep dying runs alone before it is blamed.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.jobs import ROLES, Role
from protocol.messages import Assign
from seal_runtime.controller.agents_table import AgentEntry, AgentsTable
from seal_runtime.controller.backlog import Backlog
from seal_runtime.controller.commands import Command, SendTo
from seal_runtime.controller.work import Priority, Work

ATTEMPTS_PER_EPOCH = 1_000_000
"""Attempt numbers of one controller process; the next process starts above them."""
FIRST_RETRY_SECONDS = 0.5
"""Pause before a failed job is tried again; doubles with each failure (a grader's outage must not use up the attempts at once)."""
MAX_RETRY_SECONDS = 30.0
SUSPECT_DEATHS = 2
"""After so many deaths of its agents a job runs alone on an agent, so that the next death is its own fault or chance."""
MIN_CRITICAL_DEATHS = 10
"""Credit and policy updates, without which the run ends, survive at least so many deaths of their agents."""


@dataclass(slots=True, kw_only=True)
class Ticket:
    """An open job. `agent` is "" while it waits; `seen_at` is when its agent last said that it holds the job.

    `avoid` are the agents that failed on it, `forgiven` those of which one failure was found to be their own fault.
    """

    work: Work
    num_leases: int = 0
    num_failures: int = 0
    num_deaths: int = 0
    avoid: set[str] = field(default_factory=set)
    forgiven: set[str] = field(default_factory=set)
    agent: str = ""
    attempt: int = 0
    leased_at: float = 0.0
    seen_at: float = 0.0

    @property
    def is_suspect(self) -> bool:
        """Say whether the job must run alone."""
        return self.num_deaths >= SUSPECT_DEATHS


class Dispatcher:
    """The open jobs and their leases. A job is poison after `max_deaths` deaths of agents that held it."""

    def __init__(self, agents: AgentsTable, backlog: Backlog, *, epoch: int, max_deaths: int) -> None:
        self._agents = agents
        self._backlog = backlog
        self._max_deaths = max_deaths
        self._first_attempt = epoch * ATTEMPTS_PER_EPOCH
        self._tickets: dict[str, Ticket] = {}
        self._queues: dict[Role, list[tuple[Priority, str]]] = {role: [] for role in ROLES}
        self._suspects: dict[Role, list[tuple[Priority, str]]] = {role: [] for role in ROLES}
        self._delayed: list[tuple[float, str]] = []
        self._reserved: dict[Role, str] = {}

    def add(self, work: Work) -> None:
        """Queue a new job."""
        assert work.job_id not in self._tickets, f"{work.job_id} is open already"
        self._tickets[work.job_id] = Ticket(work=work)
        self._backlog.waits(work)
        self._enqueue(self._tickets[work.job_id])

    def is_open(self, job_id: str) -> bool:
        """Say whether the job still has to be done."""
        return job_id in self._tickets

    def ticket(self, job_id: str) -> Ticket:
        """Return an open job."""
        return self._tickets[job_id]

    def current(self, agent: str, job_id: str, attempt: int) -> Ticket | None:
        """Return the job when this very lease is in force, None for anything late or foreign."""
        ticket = self._tickets.get(job_id)
        return ticket if ticket is not None and ticket.agent == agent and ticket.attempt == attempt else None

    def num_waiting(self) -> dict[str, int]:
        """Return the number of waiting jobs by role."""
        waiting: dict[str, int] = {role: len(self._queues[role]) + len(self._suspects[role]) for role in ROLES}
        for _, job_id in self._delayed:
            waiting[self._tickets[job_id].work.role] += 1
        return waiting

    def leased(self) -> list[Ticket]:
        """Return the jobs that agents hold."""
        return [self._tickets[job_id] for entry in self._agents.all() for job_id in entry.job_ids]

    def close(self, ticket: Ticket, now: float) -> None:
        """Take a job out: it is done or set aside."""
        self._unlease(ticket, now)
        self._backlog.taken(ticket.work)
        del self._tickets[ticket.work.job_id]

    def retry(self, ticket: Ticket, now: float, *, delay: bool) -> None:
        """End the lease and let the job wait for the next, after a pause that grows with its failures when `delay`."""
        self._unlease(ticket, now)
        if delay:
            seconds = min(FIRST_RETRY_SECONDS * 2 ** (ticket.num_failures - 1), MAX_RETRY_SECONDS)
            heapq.heappush(self._delayed, (now + seconds, ticket.work.job_id))
        else:
            self._enqueue(ticket)

    def forgive(self, job_ids: Iterable[str], agent: str) -> None:
        """Take a failure from each of these jobs: it was the agent's. Once for each job and agent, so that a bad job comes to its end."""
        for job_id in job_ids:
            ticket = self._tickets.get(job_id)
            if ticket is not None and agent not in ticket.forgiven:
                ticket.forgiven.add(agent)
                ticket.num_failures = max(0, ticket.num_failures - 1)

    def release(self, entry: AgentEntry, now: float, *, died: bool) -> list[Ticket]:
        """End all leases of an agent that is gone; return the jobs that are poison by now (still open, no longer leased)."""
        poison: list[Ticket] = []
        for job_id in list(entry.job_ids):
            ticket = self._tickets[job_id]
            ticket.num_deaths += died
            if self._is_poison(ticket):
                self._unlease(ticket, now)
                poison.append(ticket)
            else:
                self.retry(ticket, now, delay=False)
        return poison

    def assign(self, now: float) -> list[Command]:
        """Give waiting jobs to agents with room, most urgent first, each to the least loaded agent."""
        while self._delayed and self._delayed[0][0] <= now:
            self._enqueue(self._tickets[heapq.heappop(self._delayed)[1]])
        # Evaluators first: what they take makes room for trainers, and what those take for proposers.
        return [command for role in reversed(ROLES) if self._may_assign(role) for command in self._assign_role(role, now)]

    def _may_assign(self, role: Role) -> bool:
        """Say whether there is anything to give out or to hold back; asked after every event."""
        return bool((self._queues[role] and self._agents.has_free(role)) or self._suspects[role] or role in self._reserved)

    def _assign_role(self, role: Role, now: float) -> list[Command]:
        commands = self._assign_suspect(role, now)
        queue, passed_over = self._queues[role], []
        while queue and self._agents.has_free(role):
            ticket = self._tickets[queue[0][1]]
            if self._backlog.holds_back(ticket.work):
                break
            item = heapq.heappop(queue)
            entry = self._choose(ticket)
            if entry is None:
                passed_over.append(item)
            else:
                commands.append(self._lease(ticket, entry, now))
        for item in passed_over:
            heapq.heappush(queue, item)
        return commands

    def _choose(self, ticket: Ticket) -> AgentEntry | None:
        """Return the least loaded agent with room; None when it failed on this job and another, busy now, did not."""
        role, avoid = ticket.work.role, ticket.avoid
        if avoid and not any(entry.takes_jobs and entry.name not in avoid for entry in self._agents.of_role(role)):
            avoid = set()
        return self._agents.least_loaded(role, avoid)

    def _assign_suspect(self, role: Role, now: float) -> list[Command]:
        """Hold one agent back until it is empty, then give it the first suspect alone."""
        suspects = self._suspects[role]
        ticket = self._tickets[suspects[0][1]] if suspects else None
        entry = self._reserve(role, ticket, now)
        if ticket is None or entry is None or entry.job_ids:
            return []
        heapq.heappop(suspects)
        entry.reserved_for = ticket.work.job_id
        return [self._lease(ticket, entry, now)]

    def _reserve(self, role: Role, ticket: Ticket | None, now: float) -> AgentEntry | None:
        """Return the agent that is held back for a suspect or has one; an agent that cannot take it any more, or need not, is let go."""
        entry = self._agents.get(self._reserved.get(role, ""))
        if entry is not None and entry.reserved_for:
            if entry.reserved_for in entry.job_ids or (ticket is not None and entry.takes_jobs):
                return entry
            entry.reserved_for = ""
            self._agents.update(entry, now)
        self._reserved.pop(role, None)
        able = [other for other in self._agents.of_role(role) if other.takes_jobs] if ticket is not None else []
        if ticket is None or not able:
            return None
        chosen = min(able, key=lambda other: (other.name in ticket.avoid, len(other.job_ids), other.name))
        self._reserved[role] = chosen.name
        chosen.reserved_for = ticket.work.job_id
        self._agents.update(chosen, now)
        return chosen

    def _lease(self, ticket: Ticket, entry: AgentEntry, now: float) -> Command:
        ticket.num_leases += 1
        ticket.agent, ticket.attempt = entry.name, self._first_attempt + ticket.num_leases
        ticket.leased_at = ticket.seen_at = now
        self._backlog.taken(ticket.work)
        entry.job_ids[ticket.work.job_id] = None
        self._agents.update(entry, now)
        return SendTo(agent=entry.name, message=Assign(job_id=ticket.work.job_id, attempt=ticket.attempt, job=ticket.work.job))

    def _unlease(self, ticket: Ticket, now: float) -> None:
        entry = self._agents.get(ticket.agent)
        if entry is not None:
            entry.job_ids.pop(ticket.work.job_id, None)
            if entry.reserved_for == ticket.work.job_id:
                entry.reserved_for = ""
            self._agents.update(entry, now)
        if ticket.agent:
            self._backlog.waits(ticket.work)
        ticket.agent = ""

    def _is_poison(self, ticket: Ticket) -> bool:
        limit = max(self._max_deaths, MIN_CRITICAL_DEATHS) if ticket.work.is_critical else self._max_deaths
        return ticket.num_deaths >= limit

    def _enqueue(self, ticket: Ticket) -> None:
        queues = self._suspects if ticket.is_suspect else self._queues
        heapq.heappush(queues[ticket.work.role], (ticket.work.priority, ticket.work.job_id))
