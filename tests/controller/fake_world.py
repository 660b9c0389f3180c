"""A world without sockets for the state machine: its agents, its ledger in a list, and time that passes when told."""

from collections.abc import Callable
from dataclasses import dataclass, field

from toy_task import ToyTask, do_job

from protocol.jobs import AdaptResult, CreditResult, EvaluateJob, Job, JobResult, Role
from protocol.messages import Assign, Cancel, Drain, JobAck, Shutdown
from seal_runtime.config.topology import Topology
from seal_runtime.controller.commands import Command, Commit, Finish, ForgetAdapter, LogEvent, SendTo, WriteMetrics
from seal_runtime.controller.events import (
    AgentBeat,
    AgentLeft,
    AgentReady,
    AgentRegistered,
    Event,
    JobFailedEvent,
    JobSucceeded,
    Tick,
)
from seal_runtime.controller.state import RunState
from seal_runtime.ledger.records import PolicyRecord, ResultRecord, ResultRow, SetAsideRecord, SetAsideRow


@dataclass
class FakeAgent:
    """An agent process: it keeps an answer until it is acknowledged, as the real channel does."""

    name: str
    role: Role
    incarnation: str
    capacity: int
    alive: bool = True
    jobs: dict[str, Assign] = field(default_factory=dict)
    outbox: dict[tuple[str, int], JobSucceeded | JobFailedEvent] = field(default_factory=dict)


class World:
    """A controller's state machine, its ledger and its agents. `step` methods move one thing at a time."""

    def __init__(self, topology: Topology, task: ToyTask | None = None) -> None:
        self.topology = topology
        self.task = task or ToyTask()
        self.now = 100.0
        self.agents: dict[str, FakeAgent] = {}
        self.records: list[ResultRecord | SetAsideRecord | PolicyRecord] = []
        self.adapters: set[str] = set()
        self.commands: list[Command] = []
        self.finish: Finish | None = None
        self.sends_fail_to: set[str] = set()
        self.failures_of: dict[str, int] = {}
        self.answer: Callable[[FakeAgent, Job], JobResult | None] = lambda agent, job: do_job(job, self.topology)
        self.epoch = -1
        self.boot()

    def boot(self) -> None:
        """Start a controller on what is committed; whatever the one before had in memory is gone."""
        self.epoch += 1
        self.finish = None
        self.state = RunState(topology=self.topology, task=self.task, run_id="toy", epoch=self.epoch)
        self.carry_out(self.state.begin(self.now, self.rows()))

    def rows(self) -> list[ResultRow | SetAsideRow]:
        rows: list[ResultRow | SetAsideRow] = []
        for seq, record in enumerate(self.records):
            if isinstance(record, SetAsideRecord):
                rows.append(SetAsideRow(seq=seq, job_id=record.job_id, reason=record.reason))
            elif isinstance(record, ResultRecord):
                key = record.key
                rows.append(
                    ResultRow(
                        seq=seq, job_id=key.job_id, stage=key.stage, study=key.study, context_id=key.context_id,
                        edit_index=key.edit_index, replicate=key.replicate, policy_version=record.policy_version,
                        attempt=record.attempt, agent=record.agent, started_at=record.started_at,
                        duration_seconds=record.duration_seconds, committed_at=0.0, score=record.score, job=record.job,
                        result=record.result,
                    )
                )  # fmt: skip
        return rows

    def carry_out(self, commands: list[Command]) -> None:
        self.commands += commands
        for command in commands:
            match command:
                case Commit(record=ResultRecord() | SetAsideRecord() | PolicyRecord() as record):
                    self.records.append(record)
                case SendTo():
                    self._receive(command)
                case ForgetAdapter():
                    self.adapters.discard(command.sha256)
                case Finish():
                    self.finish = command

    def _receive(self, command: SendTo) -> None:
        agent = self.agents.get(command.agent)
        if agent is None or not agent.alive or command.agent in self.sends_fail_to:
            return
        match command.message:
            case Assign() as assign:
                agent.jobs[assign.job_id] = assign
            case Cancel() as cancel:
                if cancel.job_id in agent.jobs and agent.jobs[cancel.job_id].attempt == cancel.attempt:
                    del agent.jobs[cancel.job_id]
            case JobAck() as ack:
                agent.outbox.pop((ack.job_id, ack.attempt), None)
            case Drain() | Shutdown():
                pass

    def feed(self, event: Event) -> None:
        if self.finish is None:
            self.carry_out(self.state.handle(event, self.now))

    def join(self, role: Role, name: str, capacity: int = 4, incarnation: str = "") -> FakeAgent:
        agent = FakeAgent(name=name, role=role, incarnation=incarnation or f"{name}-{len(self.commands)}", capacity=capacity)
        self.agents[name] = agent
        self.register(agent)
        return agent

    def register(self, agent: FakeAgent) -> None:
        """Register an agent's process, for the first time or again."""
        event = AgentRegistered(
            agent=agent.name, incarnation=agent.incarnation, role=agent.role, capacity=agent.capacity, hostname="h", pid=1, gpus=()
        )
        self.feed(event)
        self.feed(AgentReady(agent=agent.name, capacity=agent.capacity))

    def join_all(self, trainers: int = 2) -> None:
        self.join("proposer", "proposer-0")
        for index in range(trainers):
            self.join("trainer", f"trainer-{index}")
        self.join("evaluator", "evaluator-0")
        self.join("critic", "critic-0", capacity=1)

    def work(self, agent: FakeAgent, job_id: str) -> None:
        """Let an agent do one of its jobs; the answer goes to its outbox."""
        assign = agent.jobs.pop(job_id)
        if isinstance(assign.job, EvaluateJob) and assign.job.adapter and assign.job.adapter.sha256 not in self.adapters:
            self.fail(agent, assign, "StoreError", "the adapter is gone")
            return
        result = self.answer(agent, assign.job)
        if result is None:
            self.fail(agent, assign, "AdaptError", "asked to fail")
            return
        if isinstance(result, AdaptResult):
            self.adapters.add(result.adapter.sha256)
        event = JobSucceeded(agent=agent.name, job_id=job_id, attempt=assign.attempt, result=result, started_at=0.0, duration_seconds=0.1)
        agent.outbox[job_id, assign.attempt] = event

    def fail(self, agent: FakeAgent, assign: Assign, error_type: str, reason: str, retryable: bool = True) -> None:
        self.failures_of[assign.job_id] = self.failures_of.get(assign.job_id, 0) + 1
        agent.outbox[assign.job_id, assign.attempt] = JobFailedEvent(
            agent=agent.name, job_id=assign.job_id, attempt=assign.attempt, error_type=error_type, reason=reason, retryable=retryable
        )

    def deliver(self, agent: FakeAgent) -> None:
        """Send what waits in an agent's outbox, as the service would pass it on; it stays there until it is acknowledged."""
        for event in list(agent.outbox.values()):
            if isinstance(event, JobSucceeded) and isinstance(event.result, AdaptResult):
                sha256 = event.result.adapter.sha256
                if sha256 not in self.adapters:
                    fields = {"agent": event.agent, "job_id": event.job_id, "attempt": event.attempt}
                    self.feed(JobFailedEvent(**fields, error_type="StoreError", reason="missing", retryable=True))  # type: ignore[arg-type]
                    continue
            self.feed(event)

    def pass_time(self, seconds: float) -> None:
        """Let time go by in ticks, with heartbeats of those alive."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1.0)
            for agent in self.agents.values():
                if agent.alive:
                    self.feed(
                        AgentBeat(
                            agent=agent.name,
                            state="busy",
                            job_ids=tuple(agent.jobs),
                            step_age_seconds=0.0,
                            gpu_memory_bytes=0,
                            gpu_busy_share=None,
                            frames_dropped=0,
                        )
                    )
            self.feed(Tick())

    def leave(self, agent: FakeAgent) -> None:
        """Let a process say goodbye; its unfinished jobs are given to others."""
        agent.alive = False
        agent.jobs.clear()
        agent.outbox.clear()
        self.feed(AgentLeft(agent=agent.name, reason="goodbye", died=False))

    def kill(self, agent: FakeAgent, *, noticed: bool = True) -> None:
        """Kill a process: its jobs and unsent answers are gone."""
        agent.alive = False
        agent.jobs.clear()
        agent.outbox.clear()
        if noticed:
            self.feed(AgentLeft(agent=agent.name, reason="killed", died=True))

    def run_calmly(self, max_rounds: int = 5000) -> Finish:
        """Everybody works and answers at once until the run ends."""
        for _ in range(max_rounds):
            if self.finish is not None:
                return self.finish
            busy = False
            for agent in list(self.agents.values()):
                if not agent.alive:
                    continue
                for job_id in list(agent.jobs):
                    self.work(agent, job_id)
                    busy = True
                busy = busy or bool(agent.outbox)
                self.deliver(agent)
            if not busy:
                self.pass_time(1.0)
        raise AssertionError(f"the run did not end: {self.state.status(self.now)}")

    def chosen(self) -> dict[str, list[tuple[str, int, float]]]:
        """Return the edits that each round's credit selected, with their rewards."""
        return {
            record.key.study: [(c.context_id, c.edit_index, c.reward) for c in record.result.credits if c.weight]
            for record in self.results("credit")
            if isinstance(record.result, CreditResult)
        }

    def results(self, stage: str = "", study: str = "") -> list[ResultRecord]:
        found = [record for record in self.records if isinstance(record, ResultRecord) and stage in ("", record.key.stage)]
        return [
            record
            for record in found
            if record.key.stage == (stage or record.key.stage) and record.key.study == (study or record.key.study)
        ]

    def metrics(self) -> dict[str, WriteMetrics]:
        return {command.study: command for command in self.commands if isinstance(command, WriteMetrics)}

    def logged(self, name: str) -> list[LogEvent]:
        return [command for command in self.commands if isinstance(command, LogEvent) and command.name == name]
