"""The run as a state machine without I/O: events in, commands out, time passed in.

Invariants: a result enters the workflow once, and its Commit stands before everything that follows from it; only the holder of the
current lease is heard; an agent's fate is never a job's verdict. Committed records put a new state machine where the old one was.
"""

from collections.abc import Iterable

from protocol.jobs import AdaptResult, EvaluateJob
from protocol.messages import Cancel, Drain, JobAck, Shutdown
from protocol.status import RunStatus
from seal_runtime.config.topology import Topology
from seal_runtime.controller.agents_table import AgentEntry, AgentsTable
from seal_runtime.controller.commands import Command, Commit, Finish, LogEvent, LogLevel, LogValue, SendTo
from seal_runtime.controller.dispatch import Dispatcher, Ticket
from seal_runtime.controller.events import (
    AgentBeat,
    AgentLeft,
    AgentReady,
    AgentRegistered,
    DrainRequested,
    Event,
    JobFailedEvent,
    JobSucceeded,
    StopRequested,
    StorageFailed,
    Tick,
)
from seal_runtime.controller.plan import make_plan
from seal_runtime.controller.replay import replay
from seal_runtime.controller.result_checks import record_of, why_unusable
from seal_runtime.controller.status import Estimate, make_status, phase_of
from seal_runtime.controller.supervision import Supervision
from seal_runtime.controller.workflow import Effects, Workflow
from seal_runtime.ledger.records import AgentGone, AgentJoined, FailureRecord, ResultRow, SetAsideRow
from seal_runtime.tasks.base import Task


class RunState:
    """One run. Call `begin` once, then `handle` for every event until a Finish comes out.

    `epoch` counts the controllers of this run before this one; `started_at` (seconds since the epoch) and `active_seconds` are for
    the status only. Raises ConfigError or DataError when the topology and the task give nothing to do.
    """

    def __init__(
        self, *, topology: Topology, task: Task, run_id: str, epoch: int = 0, started_at: float = 0.0, active_seconds: float = 0.0
    ) -> None:
        self.run_id = run_id
        self.plan = make_plan(topology, task)
        self.agents = AgentsTable()
        self.finish: Finish | None = None
        self._max_attempts = topology.limits.max_attempts
        self._workflow = Workflow(topology, task, self.plan)
        self._dispatcher = Dispatcher(self.agents, epoch=epoch)
        self._supervision = Supervision(topology, self.agents, self._dispatcher)
        self._estimate = Estimate(self.plan)
        self._started_at = started_at
        self._active_seconds = active_seconds
        self._began_at = 0.0
        self._has_results = False
        self._has_finished = False
        self._out: list[Command] = []

    def begin(self, now: float, committed: Iterable[ResultRow | SetAsideRow] = ()) -> list[Command]:
        """Open the run, or take it up where the committed records (in the order of their commits) leave it.

        Raises LedgerError when they are not of this run's topology and task.
        """
        self._began_at = now
        for note in self.plan.notes:
            self._log("warning", "fewer_contexts", note=note)
        replayed = replay(self._workflow, committed, now)
        self._has_results = replayed.num_results > 0
        self._out += replayed.commands
        for work in replayed.open_works:
            self._dispatcher.add(work)
        self._end(replayed.finish)
        return self._take()

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event and return what must be done, in order. After Finish nothing changes, and nothing is acknowledged."""
        if self.finish is not None:
            return self._take()
        match event:
            case JobSucceeded():
                self._succeeded(event, now)
            case JobFailedEvent():
                self._failed(event, now)
            case AgentBeat():
                self._beat(event, now)
            case AgentRegistered():
                self._registered(event, now)
            case AgentReady():
                self._ready(event, now)
            case AgentLeft():
                self._left(event, now)
            case DrainRequested():
                self._drain(event, now)
            case StopRequested():
                self._end(Finish(phase="stopped", reason=event.reason))
            case StorageFailed():
                self._end(Finish(phase="failed", reason=event.reason))
            case Tick():
                self._tick(now)
        if self.finish is None:
            self._out += self._dispatcher.assign(now)
        return self._take()

    def status(self, now: float) -> RunStatus:
        """Return a snapshot for observers."""
        problems = self._supervision.problems(now)
        if self.finish is not None and self.finish.phase == "failed":
            problems.insert(0, self.finish.reason)
        return make_status(
            run_id=self.run_id,
            workflow=self._workflow,
            agents=self.agents,
            dispatcher=self._dispatcher,
            phase=phase_of(self._workflow, self.agents, self.finish, has_results=self._has_results),
            problems=problems,
            eta_seconds=self._estimate.eta_seconds(self._workflow, now),
            started_at=self._started_at,
            elapsed_seconds=self.active_seconds(now),
            now=now,
        )

    def active_seconds(self, now: float) -> float:
        """Return how long the run has been worked on, by this controller and those before it."""
        return self._active_seconds + now - self._began_at

    def needs_adapter(self, sha256: str) -> bool:
        """Say whether an adapter is a policy's or waits for its grade."""
        return self._workflow.needs_adapter(sha256)

    def _succeeded(self, event: JobSucceeded, now: float) -> None:
        self._ack(event)
        ticket = self._dispatcher.current(event.agent, event.job_id, event.attempt)
        if ticket is None:
            self._late(event)
            return
        reason = why_unusable(ticket.work.job, event.result)
        if reason is not None:
            error_type = "ReceiptError" if isinstance(ticket.work.job, EvaluateJob) else "ProtocolError"
            self._attempt_failed(ticket, error_type, reason, retryable=True, now=now)
            return
        entry = self.agents.get(event.agent)
        assert entry is not None, "a lease belongs to a live agent"
        entry.jobs_done += 1
        self._estimate.begin(self._workflow, now)
        self._has_results = True
        self._dispatcher.close(ticket, now)
        self._out.append(Commit(record=record_of(ticket.work, event)))
        self._enter(self._workflow.apply(ticket.work, event.result, now))

    def _late(self, event: JobSucceeded) -> None:
        """Change nothing; only an adapter that nobody will ever ask for is deleted."""
        self._log("info", "late_reply", job=event.job_id, worker=event.agent, attempt=event.attempt)
        if isinstance(event.result, AdaptResult) and not self._dispatcher.is_open(event.job_id):
            self._out += self._workflow.forget_unless_needed(event.result.adapter)

    def _failed(self, event: JobFailedEvent, now: float) -> None:
        self._ack(event)
        ticket = self._dispatcher.current(event.agent, event.job_id, event.attempt)
        if ticket is None:
            self._log("info", "late_reply", job=event.job_id, worker=event.agent, attempt=event.attempt)
        else:
            self._attempt_failed(ticket, event.error_type, event.reason, retryable=event.retryable, now=now)

    def _attempt_failed(self, ticket: Ticket, error_type: str, reason: str, *, retryable: bool, now: float) -> None:
        entry, job_id = self.agents.get(ticket.agent), ticket.work.job_id
        if entry is not None:
            entry.jobs_failed += 1
        ticket.num_failures += 1
        record = FailureRecord(
            job_id=job_id, attempt=ticket.attempt, agent=ticket.agent, error_type=error_type, reason=reason, retryable=retryable
        )
        self._out.append(Commit(record=record))
        fields: dict[str, LogValue] = {"job": job_id, "worker": ticket.agent, "attempt": ticket.attempt, "error_type": error_type}
        self._log("warning", "attempt_failed", reason=reason, **fields)
        if not retryable or ticket.num_failures >= self._max_attempts:
            self._set_aside(ticket, f"{error_type}: {reason}", now)
        else:
            ticket.avoid.add(ticket.agent)
            self._dispatcher.retry(ticket, now, delay=True)

    def _set_aside(self, ticket: Ticket, reason: str, now: float) -> None:
        self._log("error", "job_set_aside", job=ticket.work.job_id, reason=reason)
        self._dispatcher.close(ticket, now)
        self._enter(self._workflow.set_aside(ticket.work, reason, now))

    def _registered(self, event: AgentRegistered, now: float) -> None:
        entry = self.agents.get(event.agent)
        if entry is not None and entry.identity.incarnation == event.incarnation:
            self.agents.heard(entry, now)
            return
        if entry is not None:
            self._remove(entry, "another process registered under its name", now, died=True)
        self.agents.add(event, now)
        joined = AgentJoined(
            agent=event.agent,
            incarnation=event.incarnation,
            role=event.role,
            hostname=event.hostname,
            pid=event.pid,
            gpus=event.gpus,
        )
        self._out.append(Commit(record=joined))
        self._log("info", "agent_joined", worker=event.agent, worker_role=event.role, hostname=event.hostname, pid=event.pid)

    def _ready(self, event: AgentReady, now: float) -> None:
        entry = self.agents.get(event.agent)
        if entry is None:
            return
        if not entry.is_ready:
            self._log("info", "agent_ready", worker=event.agent, capacity=event.capacity, seconds=round(now - entry.registered_at, 3))
        entry.is_ready, entry.capacity = True, event.capacity
        self.agents.heard(entry, now)
        self.agents.update(entry, now)

    def _beat(self, event: AgentBeat, now: float) -> None:
        entry = self.agents.get(event.agent)
        if entry is None:
            return
        self.agents.heard(entry, now)
        entry.step_age_seconds = event.step_age_seconds
        if event.state == "draining" and not entry.is_draining:
            entry.is_draining = True
            self.agents.update(entry, now)
        for ticket in self._supervision.lost_leases(entry, event.job_ids, now):
            self._log("warning", "lease_lost", job=ticket.work.job_id, worker=entry.name, attempt=ticket.attempt)
            self._dispatcher.retry(ticket, now, delay=False)

    def _left(self, event: AgentLeft, now: float) -> None:
        entry = self.agents.get(event.agent)
        if entry is not None:
            self._remove(entry, event.reason, now, died=event.died)

    def _remove(self, entry: AgentEntry, reason: str, now: float, *, died: bool) -> None:
        held = ", ".join(list(entry.job_ids)[:3])
        self._log("warning" if died else "info", "agent_left", worker=entry.name, reason=reason, died=died, jobs=len(entry.job_ids))
        if died:
            self._supervision.departed(f"{entry.name} is gone ({reason}); it held {held or 'no job'}", now)
        poison = self._dispatcher.release(entry, now, died=died)
        self.agents.remove(entry.name)
        self._out.append(Commit(record=AgentGone(agent=entry.name, incarnation=entry.identity.incarnation, reason=reason)))
        for ticket in poison:
            self._set_aside(ticket, f"poison: {ticket.num_deaths} agents died with it, the last was {entry.name} ({reason})", now)

    def _drain(self, event: DrainRequested, now: float) -> None:
        entry = self.agents.get(event.agent)
        if entry is not None and not entry.is_draining:
            entry.is_draining = True
            self.agents.update(entry, now)
            self._log("info", "agent_draining", worker=entry.name, jobs=len(entry.job_ids))
            self._out.append(SendTo(agent=entry.name, message=Drain(reason="asked to drain")))

    def _tick(self, now: float) -> None:
        self._supervision.tick(now)
        for overdue in self._supervision.overdue_agents(now):
            self._out.append(SendTo(agent=overdue.agent.name, message=Shutdown(reason=overdue.reason)))
            self._remove(overdue.agent, overdue.reason, now, died=True)
        for overdue in self._supervision.overdue_jobs(now):
            if overdue.ticket is not None and overdue.ticket.agent == overdue.agent.name:
                cancel = Cancel(job_id=overdue.ticket.work.job_id, attempt=overdue.ticket.attempt)
                self._out.append(SendTo(agent=overdue.agent.name, message=cancel))
                self._attempt_failed(overdue.ticket, "JobTimeout", overdue.reason, retryable=True, now=now)
        deserted = self._supervision.deserted_role(now)
        if deserted is not None:
            self._end(Finish(phase="failed", reason=deserted))

    def _enter(self, effects: Effects) -> None:
        self._out += effects.commands
        for work in effects.works:
            self._dispatcher.add(work)
        self._end(effects.finish)

    def _end(self, finish: Finish | None) -> None:
        if finish is not None and self.finish is None:
            self.finish = finish

    def _ack(self, event: JobSucceeded | JobFailedEvent) -> None:
        self._out.append(SendTo(agent=event.agent, message=JobAck(job_id=event.job_id, attempt=event.attempt)))

    def _log(self, level: LogLevel, name: str, **fields: LogValue) -> None:
        self._out.append(LogEvent(level=level, name=name, fields=fields))

    def _take(self) -> list[Command]:
        """Return the commands gathered; the Finish comes out once, last."""
        commands, self._out = self._out, []
        if self.finish is not None and not self._has_finished:
            self._has_finished = True
            commands.append(self.finish)
        return commands
