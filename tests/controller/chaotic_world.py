"""One random action after the other on a world, some of them cruel, and what must hold after each."""

import random
from collections.abc import Callable
from typing import Any

from seal_runtime.controller.events import AgentBeat, AgentDiagnosed, DrainRequested, Tick
from seal_runtime.ledger.records import ResultRecord, SetAsideRecord

ROLES = ("proposer", "trainer", "trainer", "evaluator", "critic")


class Chaos:
    """Moves a world by one random action at a time."""

    def __init__(self, world: Any, source: random.Random, *, gentle: bool) -> None:
        self.world = world
        self.source = source
        self.gentle = gentle
        self.replayed: list[Any] = []
        self.born = 0
        self.weights: dict[Callable[[Any], None], float] = {
            self.work: 8, self.work_and_answer: 16, self.repeat: 3, self.fail: 2, self.die: 2, self.leave: 1,
            self.reconnect: 2, self.crash: 0.5, self.idle: 2, self.deafen: 1, self.sicken: 1, self.stick: 1, self.hang: 0.5,
            self.stop_for_a_while: 1, self.attach: 0.5, self.drain: 0.5,
        }  # fmt: skip
        for role in ROLES:
            self.birth(role)

    def birth(self, role: str) -> None:
        self.world.join(role, f"{role}-{self.born}", capacity=self.source.randint(1, 5), incarnation=f"i{self.born}")
        self.born += 1

    def act(self) -> None:
        alive = [agent for agent in self.world.agents.values() if agent.alive]
        agent = self.source.choice(alive)
        action = self.source.choices(list(self.weights), list(self.weights.values()))[0]
        action(agent)
        for role in set(ROLES):
            if not any(other.alive and other.role == role for other in self.world.agents.values()):
                self.birth(role)

    def work(self, agent: Any) -> None:
        if agent.jobs:
            self.world.work(agent, self.source.choice(list(agent.jobs)))

    def work_and_answer(self, agent: Any) -> None:
        self.work(agent)
        self.replayed += agent.outbox.values()
        self.world.deliver(agent)

    def repeat(self, agent: Any) -> None:
        """An answer from the past arrives once more, perhaps of a process that is long gone."""
        if self.replayed:
            self.world.feed(self.source.choice(self.replayed))

    def fail(self, agent: Any) -> None:
        if agent.jobs:
            job_id = self.source.choice(list(agent.jobs))
            if self.gentle and self.world.failures_of.get(job_id, 0) >= 2:
                return
            self.world.fail(agent, agent.jobs.pop(job_id), "AdaptError", "asked to fail")
            self.world.deliver(agent)

    def die(self, agent: Any) -> None:
        # A suspect could also be given to an agent whose death nobody has noticed yet.
        if self.gentle and any(ticket.is_suspect for ticket in self.world.state._dispatcher._tickets.values()):
            return
        noticed = self.source.random() < 0.5
        self.world.kill(agent, noticed=noticed)
        if not noticed:
            self.world.pass_time(16.0)

    def leave(self, agent: Any) -> None:
        self.world.leave(agent)

    def sicken(self, agent: Any) -> None:
        """For a while an agent fails everything, which earns it a rest."""
        for _ in range(self.source.randint(5, 12)):
            self.fail(agent)

    def stick(self, agent: Any) -> None:
        """An agent is in a long but innocent step; word of it may be late, or of a process that is long gone."""
        age = self.source.uniform(0.0, 1700.0)
        self.world.feed(
            AgentBeat(
                agent=agent.name,
                state="busy",
                job_ids=tuple(agent.jobs),
                step_age_seconds=age,
                gpu_memory_bytes=0,
                gpu_busy_share=None,
                frames_dropped=0,
            )
        )
        incarnation = self.source.choice((agent.incarnation, "another"))
        self.world.feed(AgentDiagnosed(agent=agent.name, incarnation=incarnation, condition="", stack=("a.py:1 f",)))
        assert self.world.agents[agent.name].alive

    def hang(self, agent: Any) -> None:
        """An agent's step exceeds its limit: it is given up, and its process ends itself."""
        if self.gentle and any(ticket.is_suspect for ticket in self.world.state._dispatcher._tickets.values()):
            return
        self.world.feed(
            AgentBeat(
                agent=agent.name,
                state="busy",
                job_ids=tuple(agent.jobs),
                step_age_seconds=1801.0,
                gpu_memory_bytes=0,
                gpu_busy_share=None,
                frames_dropped=0,
            )
        )
        self.world.feed(Tick())
        entry = self.world.state.agents.get(agent.name)
        assert self.world.finish is not None or entry is None or not entry.is_ready
        self.world.kill(agent)

    def stop_for_a_while(self, agent: Any) -> None:
        """A process is stopped by a signal and goes on later, with the jobs that it had; meanwhile they may have gone elsewhere."""
        if self.gentle and any(ticket.is_suspect for ticket in self.world.state._dispatcher._tickets.values()):
            return
        agent.alive = False
        self.world.pass_time(self.source.uniform(1.0, 25.0))
        for identity in self.world.state.silent_agents(self.world.now):
            diagnosed = AgentDiagnosed(agent=identity.agent, incarnation=identity.incarnation, condition="stopped", stack=())
            self.world.feed(diagnosed)
        agent.alive = True
        if self.world.state.agents.get(agent.name) is None:
            self.world.register(agent)

    def attach(self, agent: Any) -> None:
        self.birth(self.source.choice(ROLES))

    def drain(self, agent: Any) -> None:
        """An agent is told to leave; it finishes what it holds, and goes."""
        self.world.feed(DrainRequested(agent=agent.name))
        for job_id in list(agent.jobs):
            self.world.work(agent, job_id)
        self.world.deliver(agent)
        assert not agent.jobs, "a draining agent gets no more jobs"
        self.world.leave(agent)

    def reconnect(self, agent: Any) -> None:
        self.world.register(agent)

    def crash(self, agent: Any) -> None:
        """The controller dies between two commits; those alive register with the next one."""
        self.world.boot()
        for other in list(self.world.agents.values()):
            if other.alive:
                self.world.register(other)

    def idle(self, agent: Any) -> None:
        self.world.pass_time(self.source.uniform(0.1, 3.0))

    def deafen(self, agent: Any) -> None:
        """For a while messages to this agent are lost (a broken connection); then it registers again."""
        self.world.sends_fail_to.add(agent.name)
        self.work_and_answer(agent)
        self.world.sends_fail_to.discard(agent.name)
        self.world.register(agent)


def check_books(world: Any) -> None:
    """Every job has one verdict, every scored edit one score, and everything is accounted for."""
    done = [record.key.job_id for record in world.records if isinstance(record, ResultRecord)]
    given_up = {record.job_id for record in world.records if isinstance(record, SetAsideRecord)}
    assert len(done) == len(set(done))
    assert not given_up & set(done)
    status = world.state.status(world.now)
    for study in status.studies:
        assert study.num_scored + study.num_invalid <= study.num_items
    assert status.items_done == sum(study.num_scored + study.num_invalid for study in status.studies)


def play(world: Any, source: random.Random, *, gentle: bool, num_actions: int) -> None:
    chaos = Chaos(world, source, gentle=gentle)
    for _ in range(num_actions):
        if world.finish is not None:
            break
        chaos.act()
        check_books(world)
    if world.finish is None:
        world.run_calmly()
    check_books(world)


TIGHT = {"max_waiting_adapters": 1, "max_waiting_edits": 1}
