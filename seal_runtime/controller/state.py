"""The run as a state machine without I/O: events in, commands out, time passed in.

Invariants: a result enters the workflow once, and its Commit stands before everything that follows from it; only the holder of the
current lease is heard; an agent's fate is never a job's verdict. Committed records put a new state machine where the old one was.
"""

from collections.abc import Iterable

from protocol.jobs import AdaptResult, EvaluateJob
from protocol.messages import Cancel, JobAck
from protocol.status import RunStatus
from seal_runtime.config.topology import Topology
from seal_runtime.controller.agents_table import AgentsTable
from seal_runtime.controller.alarm_watch import AlarmWatch
from seal_runtime.controller.backlog import Backlog
from seal_runtime.controller.commands import Command, Finish, LogValue, WriteMetrics
from seal_runtime.controller.dispatch import Dispatcher, Ticket
from seal_runtime.controller.effects import Effects
from seal_runtime.controller.events import AgentRegistered, Event, JobFailedEvent, JobSucceeded, StopRequested, StorageFailed, Tick
from seal_runtime.controller.membership import Membership
from seal_runtime.controller.meter import Meter
from seal_runtime.controller.outbox import Outbox
from seal_runtime.controller.plan import make_plan
from seal_runtime.controller.quarantine import Quarantine
from seal_runtime.controller.replay import replay
from seal_runtime.controller.result_checks import record_of, why_unusable
from seal_runtime.controller.status import Estimate, make_status, num_scored, phase_of
from seal_runtime.controller.supervision import Supervision
from seal_runtime.controller.time_shares import TimeShares
from seal_runtime.controller.workflow import Workflow
from seal_runtime.ledger.records import FailureRecord, ResultRow, SetAsideRow
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
        self._dispatcher = Dispatcher(self.agents, Backlog(topology.limits), epoch=epoch, max_deaths=topology.limits.max_deaths)
        self._supervision = Supervision(topology, self.agents, self._dispatcher)
        self._quarantine = Quarantine(self.agents)
        self._out = Outbox()
        self._membership = Membership(topology, self.agents, self._dispatcher, self._supervision, self._out, self._set_aside)
        self._estimate = Estimate(self.plan)
        self._meter = Meter()
        self._time_shares = TimeShares(self._meter, self._workflow)
        self._alarms = AlarmWatch(self._workflow, self.agents)
        self._started_at = started_at
        self._active_seconds = active_seconds
        self._began_at = 0.0
        self._has_results = False
        self._has_finished = False

    def begin(self, now: float, committed: Iterable[ResultRow | SetAsideRow] = ()) -> list[Command]:
        """Open the run, or take it up where the committed records (in the order of their commits) leave it.

        Raises LedgerError when they are not of this run's topology and task.
        """
        self._began_at = now
        for note in self.plan.notes:
            self._out.log("warning", "fewer_contexts", note=note)
        replayed = replay(self._workflow, committed, now)
        self._has_results = replayed.num_results > 0
        self._out.commands += replayed.commands
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
            case StopRequested():
                self._end(Finish(phase="stopped", reason=event.reason))
            case StorageFailed():
                self._end(Finish(phase="failed", reason=event.reason))
            case Tick():
                self._tick(now)
            case _:
                self._membership.handle(event, now)
        if self.finish is None:
            self._out.commands += self._dispatcher.assign(now)
        return self._take()

    def status(self, now: float) -> RunStatus:
        """Return a snapshot for observers."""
        problems = [*self._supervision.problems(now), *self._quarantine.problems(now)]
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
            recent_edits_per_hour=self._meter.recent_edits_per_hour(num_scored(self._workflow), now),
            roles=self._meter.roles(self.agents),
            alarms=self._alarms.all(now),
            started_at=self._started_at,
            elapsed_seconds=self.active_seconds(now),
            now=now,
        )

    def active_seconds(self, now: float) -> float:
        """Return how long the run has been worked on, by this controller and those before it."""
        return self._active_seconds + now - self._began_at

    def silent_agents(self, now: float) -> list[AgentRegistered]:
        """Return the agents whose process the shell should look at now, each once a silence; AgentDiagnosed says what was found."""
        return [entry.identity for entry in self._supervision.to_examine(now)]

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
        if self._quarantine.succeeded(entry, now):
            self._out.log("info", "agent_trusted_again", worker=entry.name, worker_role=entry.identity.role)
        self._estimate.begin(self._workflow, now)
        self._has_results = True
        self._dispatcher.close(ticket, now)
        self._out.commit(record_of(ticket.work, event))
        self._enter(self._workflow.apply(ticket.work, event.result, now), now)

    def _late(self, event: JobSucceeded) -> None:
        """Change nothing; only an adapter that nobody will ever ask for is deleted."""
        self._out.log("info", "late_reply", job=event.job_id, worker=event.agent, attempt=event.attempt)
        if isinstance(event.result, AdaptResult) and not self._dispatcher.is_open(event.job_id):
            self._out.commands += self._workflow.forget_unless_needed(event.result.adapter)

    def _failed(self, event: JobFailedEvent, now: float) -> None:
        self._ack(event)
        ticket = self._dispatcher.current(event.agent, event.job_id, event.attempt)
        if ticket is None:
            self._out.log("info", "late_reply", job=event.job_id, worker=event.agent, attempt=event.attempt)
        else:
            self._attempt_failed(ticket, event.error_type, event.reason, retryable=event.retryable, now=now)

    def _attempt_failed(self, ticket: Ticket, error_type: str, reason: str, *, retryable: bool, now: float) -> None:
        job_id = ticket.work.job_id
        ticket.num_failures += 1
        record = FailureRecord(
            job_id=job_id, attempt=ticket.attempt, agent=ticket.agent, error_type=error_type, reason=reason, retryable=retryable
        )
        self._out.commit(record)
        fields: dict[str, LogValue] = {"job": job_id, "worker": ticket.agent, "attempt": ticket.attempt, "error_type": error_type}
        self._out.log("warning", "attempt_failed", reason=reason, **fields)
        self._blame(ticket, f"{error_type}: {reason}", now, retryable=retryable)
        if not retryable or ticket.num_failures >= self._max_attempts:
            self._set_aside(ticket, f"{error_type}: {reason}", now)
        else:
            ticket.avoid.add(ticket.agent)
            self._dispatcher.retry(ticket, now, delay=True)

    def _blame(self, ticket: Ticket, reason: str, now: float, *, retryable: bool) -> None:
        """Count a failure against its agent; one that must rest takes the blame for its last failures from their jobs."""
        entry = self.agents.get(ticket.agent)
        assert entry is not None, "a lease belongs to a live agent"
        entry.jobs_failed += 1
        blamed = self._quarantine.failed(entry, ticket.work.job_id, reason, now) if retryable else ()
        if blamed:
            self._dispatcher.forgive(blamed, entry.name)
            seconds = round((entry.resting_until or now) - now, 1)
            self._out.log("warning", "agent_rests", worker=entry.name, worker_role=entry.identity.role, seconds=seconds, reason=reason)

    def _set_aside(self, ticket: Ticket, reason: str, now: float) -> None:
        self._out.log("error", "job_set_aside", job=ticket.work.job_id, reason=reason)
        self._dispatcher.close(ticket, now)
        self._enter(self._workflow.set_aside(ticket.work, reason, now), now)

    def _tick(self, now: float) -> None:
        self._supervision.tick(now)
        self._meter.tick(self.agents, num_scored(self._workflow), now)
        for alarm in self._alarms.new(now):
            self._out.log("warning", "alarm_raised", kind=alarm.kind, subject=alarm.subject, reason=alarm.text)
        self._quarantine.tick(now)
        self._membership.give_up_overdue(now)
        for overdue in self._supervision.overdue_jobs(now):
            if overdue.ticket is not None and overdue.ticket.agent == overdue.agent.name:
                cancel = Cancel(job_id=overdue.ticket.work.job_id, attempt=overdue.ticket.attempt)
                self._out.send(overdue.agent.name, cancel)
                self._attempt_failed(overdue.ticket, "JobTimeout", overdue.reason, retryable=True, now=now)
        deserted = self._supervision.deserted_role(now)
        if deserted is not None:
            self._end(Finish(phase="failed", reason=deserted))

    def _enter(self, effects: Effects, now: float) -> None:
        if any(isinstance(command, WriteMetrics) for command in effects.commands):
            self._meter.tick(self.agents, num_scored(self._workflow), now)  # a study's shares reach up to its end
        self._out.commands += self._time_shares.complete(effects.commands)
        for work in effects.works:
            self._dispatcher.add(work)
        self._end(effects.finish)

    def _end(self, finish: Finish | None) -> None:
        if finish is not None and self.finish is None:
            self.finish = finish

    def _ack(self, event: JobSucceeded | JobFailedEvent) -> None:
        self._out.send(event.agent, JobAck(job_id=event.job_id, attempt=event.attempt))

    def _take(self) -> list[Command]:
        """Return the commands gathered; the Finish comes out once, last."""
        commands = self._out.take()
        if self.finish is not None and not self._has_finished:
            self._has_finished = True
            commands.append(self.finish)
        return commands
