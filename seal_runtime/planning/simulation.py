"""A run in virtual time: the controller's own state machine with simulated agents.

Everything that decides is real (`controller.state`: dispatch, leases, back-pressure, policy lag, retries, quarantine); engines, messages
and deaths are simulated. The controller takes one result after the other. The same arguments give the same run.
"""

import heapq
from dataclasses import dataclass
from typing import Literal

from protocol.jobs import ROLE_OF_JOB
from protocol.messages import Assign, Cancel
from seal_runtime.config.topology import Topology
from seal_runtime.controller.commands import Command, Commit, Finish, LogEvent, SendTo, WriteMetrics
from seal_runtime.controller.events import AgentLeft, AgentReady, AgentRegistered, Event, JobSucceeded, Tick
from seal_runtime.controller.state import RunState
from seal_runtime.errors import ConfigError
from seal_runtime.ledger.records import FailureRecord, ResultRecord, SetAsideRecord
from seal_runtime.planning.made_up_task import MadeUpTask
from seal_runtime.planning.processes import Process
from seal_runtime.planning.service import Service
from seal_runtime.planning.timeline import Timeline

TICK_SECONDS = 5.0
"""Far enough apart for the state machine to take missing heartbeats for its own pause: simulated agents send none."""
MESSAGE_SECONDS = 0.001
MAX_IDLE_SECONDS = 48 * 3600.0
"""A simulated run in which nothing is committed for so long is given up."""
_HOUR = 3600.0

Kind = Literal["engine", "arrive", "receive", "death", "noticed", "restart", "tick"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What happens from outside. `mtbf_hours` of one GPU (None: nothing dies), `controller_seconds` for one result."""

    mtbf_hours: float | None
    controller_seconds: float
    startup_seconds: float


class Simulation:
    """One run from its first agent to its end. Call `run` once."""

    def __init__(self, topology: Topology, task: MadeUpTask, service: Service, processes: list[Process], conditions: Conditions) -> None:
        self.timeline = Timeline()
        self.num_deaths = 0
        self.controller_busy_seconds = 0.0
        self.processes = processes
        self._topology = topology
        self._service = service
        self._conditions = conditions
        self._state = RunState(topology=topology, task=task, run_id="plan")
        self._host = {name: process for process in processes for name in process.agents.values()}
        self._heap: list[tuple[float, int, Kind, object]] = []
        self._order = 0
        self._controller_free = 0.0
        self._planned: dict[str, float] = {}
        self._finish: Finish | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what the controller would tell of the run before it begins."""
        return self._state.plan.notes

    def run(self) -> float:
        """Return the seconds of the run, all agents being ready at the start. Raises ConfigError when it fails."""
        self._carry_out(self._state.begin(0.0), 0.0)
        self._handle(Tick(), 0.0, 0.0)
        for process in self.processes:
            self._join(process, 0.0)
            self._plan_death(process, 0.0)
        self._push(TICK_SECONDS, "tick", None)
        now = 0.0
        while self._heap and self._finish is None:
            now, _, kind, payload = heapq.heappop(self._heap)
            if now - self.timeline.ended_at > MAX_IDLE_SECONDS:
                break
            self._step(kind, payload, now)
        if self._finish is None or self._finish.phase != "done":
            reason = self._finish.reason if self._finish is not None else f"nothing was done for {MAX_IDLE_SECONDS / _HOUR:.0f} hours"
            raise ConfigError(f"the simulated run did not come to its end: {reason}; start it with fewer deaths or other limits")
        self.timeline.ended_at = max(now, self._controller_free)
        return self.timeline.ended_at

    def _step(self, kind: Kind, payload: object, now: float) -> None:
        match kind, payload:
            case "engine", Process() as process:
                if process.is_alive and self._planned.get(process.name) == now:
                    self._planned.pop(process.name)
                    self._advance(process, now)
            case "arrive", JobSucceeded() as event:
                self._handle(event, now, self._conditions.controller_seconds)
            case "receive", SendTo() as sent:
                self._receive(sent, now)
            case "death", Process() as process:
                self._die(process, now)
            case "noticed", (Process() as process, int() as incarnation):
                self._notice(process, incarnation, now)
            case "restart", Process() as process:
                process.start(now)
                self._join(process, now)
                self._plan_death(process, now)
            case "tick", _:
                self._handle(Tick(), now, 0.0)
                self._push(now + TICK_SECONDS, "tick", None)

    def _advance(self, process: Process, now: float) -> None:
        for job_id in process.server.advance(now):
            agent, assign, started_at = process.held.pop(job_id)
            event = JobSucceeded(
                agent=agent,
                job_id=job_id,
                attempt=assign.attempt,
                result=self._service.answer(assign.job),
                started_at=started_at,
                duration_seconds=now - started_at,
            )
            self._push(now + MESSAGE_SECONDS, "arrive", event)
        self._plan_engine(process)

    def _receive(self, sent: SendTo, now: float) -> None:
        process = self._host[sent.agent]
        if not process.is_alive:
            return
        match sent.message:
            case Assign() as assign:
                self._advance(process, now)
                job = self._service.engine_job(assign.job)
                process.take(sent.agent, assign, job, now)
                stage, in_round = assign.job_id.rpartition("/")[2], assign.job_id.startswith("round-")
                self.timeline.began(stage, ROLE_OF_JOB[type(assign.job)], job, process.cost, in_round=in_round)
                self._plan_engine(process)
            case Cancel(job_id=job_id) if job_id in process.held:
                self._advance(process, now)
                process.held.pop(job_id, None)
                process.server.cancel(job_id)
                self._plan_engine(process)
            case _:
                pass

    def _plan_engine(self, process: Process) -> None:
        """Wake up when the next job ends; a wake-up that was planned for another time is void."""
        end = process.server.next_end()
        if end is None:
            self._planned.pop(process.name, None)
        elif self._planned.get(process.name) != end:
            self._planned[process.name] = end
            self._push(end, "engine", process)

    def _handle(self, event: Event, now: float, seconds: float) -> None:
        """Let the controller take an event when it is free; what it decides happens when it is done."""
        if self._finish is not None:
            return
        self._controller_free = max(now, self._controller_free) + seconds
        self.controller_busy_seconds += seconds
        self._carry_out(self._state.handle(event, self._controller_free), self._controller_free)

    def _carry_out(self, commands: list[Command], now: float) -> None:
        for command in commands:
            match command:
                case Commit(record=ResultRecord() as result):
                    self.timeline.committed(result, now)
                case Commit(record=SetAsideRecord()):
                    self.timeline.num_set_aside += 1
                case Commit(record=FailureRecord()):
                    self.timeline.num_failures += 1
                case SendTo(message=Assign() | Cancel()):
                    self._push(now + MESSAGE_SECONDS, "receive", command)
                case WriteMetrics() as metrics:
                    self.timeline.closed(metrics, now)
                case LogEvent(name="study_opened" | "policy_updated"):
                    self.timeline.logged(command, now)
                case Finish():
                    self._finish = command

    def _join(self, process: Process, now: float) -> None:
        for role, name in process.agents.items():
            capacity = process.capacity[role]
            registered = AgentRegistered(
                agent=name, incarnation=f"{name}.{process.incarnation}", role=role, capacity=capacity, hostname="", pid=0, gpus=()
            )
            self._handle(registered, now, 0.0)
            self._handle(AgentReady(agent=name, capacity=capacity), now, 0.0)

    def _plan_death(self, process: Process, now: float) -> None:
        hours = self._conditions.mtbf_hours
        if hours is not None and "critic" not in process.agents:
            self._push(now + process.rng.expovariate(process.num_gpus / (hours * _HOUR)), "death", process)

    def _die(self, process: Process, now: float) -> None:
        """Kill a process; the controller learns of it by silence, or by the process that comes in its place."""
        self.num_deaths += 1
        self._advance(process, now)
        process.die(now)
        self._planned.pop(process.name, None)
        timeout = self._topology.bus.agent_timeout_seconds
        self._push(now + timeout, "noticed", (process, process.incarnation))
        self._push(now + self._conditions.startup_seconds, "restart", process)

    def _notice(self, process: Process, incarnation: int, now: float) -> None:
        if process.incarnation == incarnation:
            for name in process.agents.values():
                self._handle(AgentLeft(agent=name, reason="silent", died=True), now, 0.0)

    def _push(self, at: float, kind: Kind, payload: object) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, kind, payload))
