"""Simulated agent processes: an engine in virtual time, one or two agents on it, and its deaths and restarts."""

import random
from dataclasses import dataclass, field

from protocol.jobs import ROLES, Role
from protocol.messages import Assign
from seal_runtime.config.topology import Topology
from seal_runtime.planning.batch_server import BatchServer, EngineJob
from seal_runtime.planning.fleet import Fleet, GpuNeeds
from seal_runtime.planning.step_cost import StepCost
from seal_runtime.seeds import derive_seed

JOBS_PER_TRAINER_SLOT = 2
"""As `agents.trainer` leases them."""
SLOW_FACTOR = 2.0
"""What a slow agent takes longer."""
SPREAD = 0.05
"""Standard deviation of the logarithm of agents' speeds: no two machines are quite equal."""


@dataclass(slots=True, kw_only=True)
class Process:
    """One process. `agents` maps role to name; `unit_scale` makes a role's rows comparable on an engine that two roles share."""

    name: str
    agents: dict[Role, str]
    capacity: dict[Role, int]
    server: BatchServer
    cost: StepCost
    num_slots: int
    unit_scale: dict[Role, float]
    num_gpus: int
    rng: random.Random
    held: dict[str, tuple[str, Assign, float]] = field(default_factory=dict)
    incarnation: int = 0
    is_alive: bool = True
    alive_since: float = 0.0
    alive_seconds: float = 0.0
    busy_before: float = 0.0
    jobs_before: float = 0.0

    @property
    def busy_seconds(self) -> float:
        """Return the seconds with anything at work, of all incarnations."""
        return self.busy_before + self.server.busy_seconds

    @property
    def job_seconds(self) -> float:
        """Return the sum of the seconds of all jobs at work, of all incarnations."""
        return self.jobs_before + self.server.job_seconds

    def take(self, agent: str, assign: Assign, job: EngineJob, now: float) -> None:
        """Begin a job for one of the agents."""
        role = next(role for role, name in self.agents.items() if name == agent)
        scaled = EngineJob(
            job_id=job.job_id,
            num_steps=job.num_steps,
            units=job.units * self.unit_scale[role],
            lead_seconds=job.lead_seconds,
            version=job.version,
        )
        self.held[assign.job_id] = agent, assign, now
        self.server.submit(scaled, now)

    def die(self, now: float) -> None:
        """Lose everything at work."""
        self.server.advance(now)
        self.busy_before, self.jobs_before = self.busy_seconds, self.job_seconds
        self.alive_seconds += now - self.alive_since
        self.server = BatchServer(self.cost, self.num_slots)
        self.held.clear()
        self.is_alive = False

    def start(self, now: float) -> None:
        """Be a new process."""
        self.incarnation += 1
        self.is_alive = True
        self.alive_since = now

    def present_seconds(self, now: float) -> float:
        """Return how long it was there."""
        return self.alive_seconds + (now - self.alive_since if self.is_alive else 0.0)


def make_processes(
    topology: Topology, fleet: Fleet, needs: GpuNeeds, costs: dict[Role, StepCost], trainer_slots: int, *, slow_share: float
) -> list[Process]:
    """Return the processes of a fleet. The speed of each depends on the run's seed and its name alone."""
    capacity: dict[Role, int] = {
        "proposer": topology.proposer.max_concurrent_jobs,
        "trainer": JOBS_PER_TRAINER_SLOT * trainer_slots,
        "evaluator": topology.evaluator.max_concurrent_jobs,
        "critic": 1,
    }
    processes = []
    for role in ROLES:
        if role == "evaluator" and fleet.is_shared:
            continue
        roles: tuple[Role, ...] = ("proposer", "evaluator") if role == "proposer" and fleet.is_shared else (role,)
        slots = trainer_slots if role == "trainer" else sum(capacity[each] for each in roles)
        for index in range(fleet.count(role)):
            names = {each: f"{each}-{index}" for each in roles}
            rng = random.Random(derive_seed(topology.run.seed, "plan", names[role]))
            cost = costs[role].times(_slowness(rng, slow_share) if role != "critic" else 1.0)
            processes.append(
                Process(
                    name=names[role],
                    agents=names,
                    capacity={each: capacity[each] for each in roles},
                    server=BatchServer(cost, slots),
                    cost=cost,
                    num_slots=slots,
                    unit_scale={each: _scale(costs[each], costs[role]) for each in roles},
                    num_gpus=needs.per_process[role],
                    rng=rng,
                )
            )
    return processes


def _scale(mine: StepCost, host: StepCost) -> float:
    return mine.unit_seconds / host.unit_seconds if host.unit_seconds and mine.unit_seconds else 1.0


def _slowness(rng: random.Random, slow_share: float) -> float:
    factor = rng.lognormvariate(0.0, SPREAD)
    return factor * SLOW_FACTOR if rng.random() < slow_share else factor
