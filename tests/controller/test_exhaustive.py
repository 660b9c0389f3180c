"""Every order of events of a tiny run: one context, two self-edits, two agents a role, and any two misfortunes at any two moments.

All reachable states are visited once. From each, the run must be able to end, with every reward counted once and the same edits chosen.
"""

import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from fake_world import FakeAgent, World
from toy_task import ChoosyToyTask, ToyTask, toy_topology

from seal_runtime.config.topology import Topology
from seal_runtime.controller.events import DrainRequested
from seal_runtime.ledger.records import ResultRecord, SetAsideRecord

ROLES = ("proposer", "trainer", "evaluator", "critic")
TINY: dict[str, dict[str, object]] = {
    "run": {"rounds": 1},
    "algorithm": {"contexts_per_round": 1, "edits_per_context": 2},
    "evaluation": {"num_contexts": 0, "retention": False},
}
MAX_MISFORTUNES = 2
CHOOSY_SEED = 2
"""With this one an edit of ChoosyToyTask is drawn again and another trains nothing."""
Step = Callable[[World, str], None]


def answer(world: World, name: str) -> None:
    """Do the first job that the agent holds and answer it."""
    agent = world.agents[name]
    world.work(agent, next(iter(agent.jobs)))
    world.deliver(agent)


def answer_unacknowledged(world: World, name: str) -> None:
    """The same, but whatever the controller says to this agent is lost: it will answer again."""
    world.sends_fail_to.add(name)
    answer(world, name)
    world.sends_fail_to.discard(name)


def answer_unheard(world: World, name: str) -> None:
    """Do a job whose answer is still on its way when other things happen."""
    agent = world.agents[name]
    world.work(agent, next(iter(agent.jobs)))


def fail(world: World, name: str) -> None:
    agent = world.agents[name]
    job_id = next(iter(agent.jobs))
    world.fail(agent, agent.jobs.pop(job_id), "AdaptError", "asked to fail")
    world.deliver(agent)
    world.pass_time(1.0)  # beyond the pause before a second attempt


def die(world: World, name: str) -> None:
    agent = world.agents[name]
    world.kill(agent)
    world.join(agent.role, f"{agent.role}-{len(world.agents)}", capacity=1, incarnation=f"i{len(world.agents)}")


def drain(world: World, name: str) -> None:
    world.feed(DrainRequested(agent=name))


def crash(world: World, name: str) -> None:
    """The controller dies and comes back; everybody registers again."""
    world.boot()
    for agent in list(world.agents.values()):
        if agent.alive:
            world.register(agent)


def steps(world: World, misfortunes: int) -> Iterator[tuple[Step, str, int]]:
    """Yield what can happen next, and what it costs of the misfortunes."""
    for agent in world.agents.values():
        if not agent.alive:
            continue
        if agent.outbox:
            yield lambda world, name: world.deliver(world.agents[name]), agent.name, 0
        if agent.jobs:
            yield answer, agent.name, 0
            if misfortunes:
                for misfortune in (answer_unacknowledged, answer_unheard, fail):
                    yield misfortune, agent.name, 1
        if misfortunes and (agent.jobs or agent.outbox):
            yield die, agent.name, 1
            yield drain, agent.name, 1
    if misfortunes:
        yield crash, "", 1


class _Copier(pickle.Pickler):
    """Pickling is the fastest copy; what never changes is shared."""

    def __init__(self, stream: io.BytesIO, shared: dict[int, Any]) -> None:
        super().__init__(stream, protocol=5)
        self._shared = shared

    def persistent_id(self, thing: Any) -> int | None:
        return id(thing) if id(thing) in self._shared else None


class _Reader(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, shared: dict[int, Any]) -> None:
        super().__init__(stream)
        self._shared = shared

    def persistent_load(self, number: Any) -> Any:
        return self._shared[number]


def copies(world: World) -> Callable[[], World]:
    """Return a function that makes copies of a world."""
    jobs = [ticket.work for ticket in world.state._dispatcher._tickets.values()]
    things = (world.topology, world.task, world.state.plan, world.answer, *world.records, *jobs)
    shared = {id(thing): thing for thing in things}
    stream = io.BytesIO()
    _Copier(stream, shared).dump(world)
    return lambda: cast(World, _Reader(io.BytesIO(stream.getvalue()), shared).load())


def key_of(world: World) -> Any:
    """Return what tells states apart: the books, who holds and owes what, and how often each job went wrong."""
    tickets = world.state._dispatcher._tickets
    agents = {agent.name: _agent_key(world, agent) for agent in world.agents.values()}
    return (
        tuple(sorted(record.key.job_id for record in world.records if isinstance(record, ResultRecord))),
        # Agents of a role that are in the same situation are the same to everybody: names do not count.
        tuple(sorted(agents.values())),
        tuple(
            sorted((job_id, t.num_failures, t.num_deaths, tuple(sorted(agents[name] for name in t.avoid))) for job_id, t in tickets.items())
        ),
        world.epoch,
        tuple(sorted(world.adapters)),
        world.finish is not None,
    )


def _agent_key(world: World, agent: FakeAgent) -> Any:
    entry = world.state.agents.get(agent.name)
    owed = tuple((job_id, world.state._dispatcher.current(agent.name, job_id, attempt) is not None) for job_id, attempt in agent.outbox)
    return agent.role, agent.alive, tuple(agent.jobs), owed, entry is not None and entry.is_draining


def check(world: World, chosen: Any) -> None:
    """Let the world end calmly and look at its books."""
    world.sends_fail_to.clear()
    for role in ROLES:
        # Whoever was drained is replaced, as the launcher would.
        world.join(role, f"{role}-late", capacity=1, incarnation=f"{role}-late")
    finish = world.run_calmly()
    done = [record.key.job_id for record in world.records if isinstance(record, ResultRecord)]
    assert finish.phase == "done", finish
    assert len(done) == len(set(done))
    assert not any(isinstance(record, SetAsideRecord) for record in world.records)
    assert world.chosen() == chosen


TIGHT: dict[str, object] = {"max_waiting_adapters": 1, "max_waiting_edits": 1}


@pytest.mark.parametrize("limits", [{}, TIGHT], ids=["roomy", "tight"])
def test_every_order_of_events_of_a_tiny_run_ends_with_the_same_books(limits: dict[str, object]) -> None:
    visit_all(toy_topology(**TINY, limits={"max_attempts": 4, **limits}), ToyTask())


def test_every_order_of_events_with_an_edit_drawn_again_and_one_that_trains_nothing() -> None:
    topology = toy_topology(
        **{**TINY, "run": {"rounds": 1, "seed": CHOOSY_SEED}}, limits={"max_attempts": 4, **TIGHT}, proposer={"max_resamples": 1}
    )
    calm = visit_all(topology, ChoosyToyTask())
    assert sorted(record.key.job_id for record in calm.results()) == [
        "round-1/credit",
        "round-1/policy",
        *(f"round-1/reward-4/{job}" for job in ("e0/r0/adapt", "e0/r0/evaluate", "e0/s1/propose", "e1/r0/evaluate", "propose")),
    ]


def explore(first: World, num_misfortunes: int, at_end: Callable[[World], None]) -> int:
    """Visit every state that follows from `first`, hand each whose run goes on to `at_end`, and return how many there are."""
    seen = {(key_of(first), num_misfortunes)}
    frontier = [(first, num_misfortunes)]
    while frontier:
        world, misfortunes = frontier.pop()
        world.commands.clear()
        copy = copies(world)
        for step, name, cost in steps(world, misfortunes):
            following = copy()
            step(following, name)
            state = (key_of(following), misfortunes - cost)
            if state not in seen:
                seen.add(state)
                frontier.append((following, misfortunes - cost))
        if world.finish is None:
            at_end(world)
    return len(seen)


def visit_all(topology: Topology, task: ToyTask) -> World:
    """Visit every state, end each of them, and return the calm run."""
    calm = World(topology, task)
    calm.join_all()
    assert calm.run_calmly().phase == "done"
    first = World(topology, task)
    for role in ROLES:
        for index in range(2):
            first.join(role, f"{role}-{index}", capacity=1, incarnation=f"{role}-{index}")
    assert explore(first, MAX_MISFORTUNES, lambda world: check(world, calm.chosen())) > 1000
    return calm
