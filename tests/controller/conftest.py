"""A world without sockets for the state machine: a task, agents that do jobs as pure functions, and a ledger in a list."""

import hashlib

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from protocol.jobs import (
    AdapterRef,
    AdaptJob,
    AdaptResult,
    CreditJob,
    CreditResult,
    EvaluateJob,
    EvaluateResult,
    GeneratedEdit,
    GradedAnswer,
    Job,
    JobResult,
    ProposeJob,
    ProposeResult,
    Question,
    Receipt,
    Role,
    TrainingSequence,
)
from protocol.messages import Assign, Cancel, Drain, JobAck, Shutdown
from seal_runtime.algorithms.rest_em import RestEM
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
from seal_runtime.errors import EditParseError
from seal_runtime.ledger.records import PolicyRecord, ResultRecord, ResultRow, SetAsideRecord, SetAsideRow
from seal_runtime.tasks.base import Instance, Split


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class ToyTask:
    """`sizes` instances a split with three questions each; an edit with `bad` in it cannot be parsed."""

    def __init__(self, reward: int = 6, validation: int = 3, test: int = 4, scripted: bool = True, retention: int = 5) -> None:
        self.sizes: dict[Split, int] = {"reward": reward, "validation": validation, "test": test}
        self.num_retention = retention
        if scripted:
            self.scripted_edit = lambda instance: f"scripted {instance.title}"

    def instances(self, split: Split) -> Sequence[Instance]:
        return [
            Instance(
                instance_id=f"{split}-{index}",
                title=f"title {split} {index}",
                context=f"context {split} {index}",
                prompt=f"propose {split} {index}",
                questions=tuple(
                    Question(question_id=f"{split}-{index}.{q}", prompt=f"{split} {index} {q}?", answers=("yes",)) for q in range(3)
                ),
            )
            for index in range(self.sizes[split])
        ]

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        if "bad" in edit:
            raise EditParseError("expected a good edit")
        lines = [line for line in edit.split("\n") if line]
        return tuple(TrainingSequence(prompt="", completion=text, weight=1.0) for text in (*lines, instance.context))

    def grade(self, question: Question, answer: str) -> float:
        return float(answer in question.answers)

    def retention_questions(self) -> tuple[Question, ...]:
        return tuple(Question(question_id=f"known-{q}", prompt=f"known {q}?", answers=("yes",)) for q in range(self.num_retention))


def do_job(job: Job, topology: Topology) -> JobResult:
    """Do a job as an agent with perfect engines would: the result is a function of the job alone."""
    match job:
        case ProposeJob():
            edits = []
            for seed in job.seeds:
                number = int(digest(job.policy, job.prompt, seed)[:6], 16)
                text = "bad" if number % 11 == 0 else "\n".join(f"fact {number} {line}" for line in range(number % 3 + 1))
                edits.append(GeneratedEdit(text=text, token_ids=(1, 2), logprobs=(-0.5, -0.25), finish_reason="stop"))
            return ProposeResult(edits=tuple(edits), prompt_tokens=3, prompt_truncated=0)
        case AdaptJob():
            sha256 = digest(job.policy, job.sequences, job.lora, job.optim, job.seed)
            num_steps = job.optim.num_steps or len(job.sequences) * job.optim.epochs
            adapter = AdapterRef(sha256=sha256, rank=job.lora.rank, num_bytes=100)
            return AdaptResult(adapter=adapter, num_steps=num_steps, num_tokens=10, num_truncated=0, first_loss=2.0, final_loss=1.0)
        case EvaluateJob():
            sha256 = job.adapter.sha256 if job.adapter else ""
            scores = [float(int(digest(job.policy, sha256, q.prompt)[:4], 16) % 2) for q in job.questions]
            answers = tuple(
                GradedAnswer(question_id=q.question_id, text="yes", score=score) for q, score in zip(job.questions, scores, strict=True)
            )
            delta = 0.5 if job.adapter else 0.0
            return EvaluateResult(
                answers=answers, receipt=Receipt(adapter_sha256=sha256, policy_version=job.policy.version, probe_delta=delta)
            )
        case CreditJob():
            return RestEM(topology.algorithm).credit(job)


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
        self.deaths_of: dict[str, int] = {}
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
        event = JobSucceeded(
            agent=agent.name, job_id=job_id, attempt=assign.attempt, result=result, started_at=0.0, duration_seconds=0.1
        )
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
                    self.feed(AgentBeat(agent=agent.name, state="busy", job_ids=tuple(agent.jobs), step_age_seconds=0.0))
            self.feed(Tick())

    def kill(self, agent: FakeAgent, *, noticed: bool = True) -> None:
        """Kill a process: its jobs and unsent answers are gone."""
        for job_id in agent.jobs:
            self.deaths_of[job_id] = self.deaths_of.get(job_id, 0) + 1
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
                for job_id in list(agent.jobs) if agent.alive else ():
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
        found = [record for record in self.records if isinstance(record, ResultRecord)]
        return [record for record in found if record.key.stage == (stage or record.key.stage) and record.key.study == (study or record.key.study)]

    def metrics(self) -> dict[str, WriteMetrics]:
        return {command.study: command for command in self.commands if isinstance(command, WriteMetrics)}

    def logged(self, name: str) -> list[LogEvent]:
        return [command for command in self.commands if isinstance(command, LogEvent) and command.name == name]


def toy_topology(**sections: dict[str, object]) -> Topology:
    """Return a small run: two rounds, four contexts, two edits; sections override."""
    base: dict[str, dict[str, object]] = {
        "run": {"name": "toy", "rounds": 2, "seed": 7},
        "algorithm": {"contexts_per_round": 4, "edits_per_context": 2},
        "evaluation": {"num_contexts": 3, "edits_per_context": 2},
    }
    for name, values in sections.items():
        base[name] = {**base.get(name, {}), **values}
    return Topology.model_validate(base)


@pytest.fixture(scope="session")
def make_topology() -> Callable[..., Topology]:
    return toy_topology


@pytest.fixture(scope="session")
def make_task() -> type[ToyTask]:
    return ToyTask


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    def make(task: ToyTask | None = None, **sections: dict[str, object]) -> World:
        return World(toy_topology(**sections), task)

    return make


@pytest.fixture(scope="session")
def calm_world() -> World:
    """A finished run that nothing disturbed."""
    world = World(toy_topology())
    world.join_all()
    assert world.run_calmly().phase == "done"
    return world


