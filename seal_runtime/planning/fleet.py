"""How many processes of each role a simulated run has, and on how many GPUs."""

from dataclasses import dataclass

from protocol.jobs import ROLES, Role
from seal_runtime.config.engine_sharing import host_section
from seal_runtime.config.topology import Topology
from seal_runtime.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Processes by role; where proposer and evaluator share an engine both counts are those of the shared processes."""

    proposers: int
    trainers: int
    evaluators: int
    is_shared: bool

    def count(self, role: Role) -> int:
        """Return the processes of a role; there is one critic."""
        return {"proposer": self.proposers, "trainer": self.trainers, "evaluator": self.evaluators, "critic": 1}[role]

    def describe(self) -> str:
        """Return the split in words."""
        if self.is_shared:
            return f"{self.proposers} proposer+evaluator, {self.trainers} trainers"
        return f"{self.proposers} proposers, {self.trainers} trainers, {self.evaluators} evaluators"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuNeeds:
    """GPUs of one process by role; all 1 where nothing has a GPU, so that processes are counted instead."""

    per_process: dict[Role, int]
    unit: str

    def total(self, fleet: Fleet) -> int:
        """Return the GPUs of a fleet."""
        generating = fleet.proposers * self.per_process["proposer"]
        generating += 0 if fleet.is_shared else fleet.evaluators * self.per_process["evaluator"]
        return generating + fleet.trainers * self.per_process["trainer"]


def fleet_of(topology: Topology) -> Fleet:
    """Return the fleet that a topology starts."""
    return Fleet(
        proposers=topology.proposer.count,
        trainers=topology.trainer.count,
        evaluators=topology.evaluator.count,
        is_shared=topology.evaluator.share_engine,
    )


def gpu_needs(topology: Topology) -> GpuNeeds:
    """Return what a process of each role takes."""
    sections = {role: host_section(topology, role) for role in ROLES}
    has_gpus = any(section.gpus for section in sections.values())
    return GpuNeeds(
        per_process={role: section.gpus_per_agent for role, section in sections.items()}, unit="GPUs" if has_gpus else "processes"
    )


def best_fleets(total: int, needs: GpuNeeds, demand: dict[Role, float], *, is_shared: bool) -> list[Fleet]:
    """Return fleets on `total` GPUs to try, the most promising first: what is left goes, again and again, to the role with the most
    work for each of its GPUs; and the same with a tenth of the trainers more or less. `demand` is the work in GPU-seconds. Raises
    ConfigError when there are fewer GPUs than one process of each role needs.
    """
    roles: tuple[Role, ...] = ("proposer", "trainer") if is_shared else ("proposer", "trainer", "evaluator")
    least = sum(needs.per_process[role] for role in roles)
    if total < least:
        raise ConfigError(f"--gpus: expected at least {least} {needs.unit} for one process of each role, got {total}")
    work = dict(demand)
    if is_shared:
        work["proposer"] += work["evaluator"]
    fleets: list[Fleet] = []
    for tilt in (1.0, 0.8, 1.25, 0.5):
        counts = _spread(total, needs, {role: work[role] * (tilt if role == "trainer" else 1.0) for role in roles})
        generating = counts.get("evaluator", counts["proposer"])
        fleet = Fleet(proposers=counts["proposer"], trainers=counts["trainer"], evaluators=generating, is_shared=is_shared)
        if fleet not in fleets:
            fleets.append(fleet)
    return fleets


def _spread(total: int, needs: GpuNeeds, work: dict[Role, float]) -> dict[Role, int]:
    counts = dict.fromkeys(work, 1)
    left = total - sum(needs.per_process[role] for role in work)
    while True:
        able = [role for role in work if needs.per_process[role] <= left]
        if not able:
            return counts
        role = max(able, key=lambda role: work[role] / (counts[role] * needs.per_process[role]))
        counts[role] += 1
        left -= needs.per_process[role]
