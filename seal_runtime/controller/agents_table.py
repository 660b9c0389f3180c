"""The agents of a run as the controller sees them: who is there, how loaded, last heard when. Pure bookkeeping, time passed in."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from protocol.jobs import ROLES, Role
from protocol.status import AgentState, AgentStatus
from seal_runtime.controller.events import AgentDiagnosed, AgentRegistered


@dataclass(slots=True, kw_only=True)
class AgentEntry:
    """One live agent. `job_ids` are its leases in the order in which they were given.

    `reserved_for` is a job that must run alone. `is_quiet`: not heard for a few heartbeats, perhaps dying, so it gets no new jobs.
    `failed_jobs` to `last_failure` belong to `controller.quarantine`, `diagnosis` and `examined_at` to `controller.supervision`.
    """

    identity: AgentRegistered
    registered_at: float
    last_seen: float
    capacity: int
    is_ready: bool = False
    is_draining: bool = False
    is_quiet: bool = False
    step_age_seconds: float = 0.0
    frames_dropped: int = 0
    gpu_memory_bytes: int = 0
    gpu_busy_share: float | None = None
    job_ids: dict[str, None] = field(default_factory=dict)
    reserved_for: str = ""
    jobs_done: int = 0
    jobs_failed: int = 0
    busy_seconds: float = 0.0
    busy_since: float | None = None
    free_load: int | None = None
    failed_jobs: dict[str, None] = field(default_factory=dict)
    num_rests: int = 0
    resting_until: float | None = None
    on_probation: bool = False
    last_failure: str = ""
    diagnosis: AgentDiagnosed | None = None
    examined_at: float = -1.0

    @property
    def name(self) -> str:
        """Return the agent's name."""
        return self.identity.agent

    @property
    def label(self) -> str:
        """Return the agent's name with its role, for people."""
        return f"{self.name} ({self.identity.role})"

    @property
    def work(self) -> str:
        """Return what the agent holds, for people."""
        first, more = next(iter(self.job_ids), ""), len(self.job_ids) - 1
        return f"job {first}" + (f" and {more} more" if more > 0 else "") if first else "no job"

    @property
    def is_resting(self) -> bool:
        """Say whether the agent gets no jobs because it failed all of the last ones."""
        return self.resting_until is not None

    @property
    def takes_jobs(self) -> bool:
        """Say whether the agent could be given a job if it had room."""
        return self.is_ready and not self.is_draining and not self.is_quiet and not self.is_resting

    @property
    def has_room(self) -> bool:
        """Say whether the agent can be given another job now, as far as itself is concerned."""
        return self.takes_jobs and not self.reserved_for and len(self.job_ids) < (1 if self.on_probation else self.capacity)

    @property
    def state(self) -> AgentState:
        """Return the state that people see."""
        if self.is_draining:
            return "draining"
        if not self.is_ready:
            return "starting"
        return "busy" if self.job_ids else "idle"

    def busy_seconds_until(self, now: float) -> float:
        """Return the time with at least one job, the present stretch included."""
        return self.busy_seconds + (now - self.busy_since if self.busy_since is not None else 0.0)

    def status(self, now: float) -> AgentStatus:
        """Return the wire form."""
        return AgentStatus(
            agent=self.name,
            role=self.identity.role,
            state=self.state,
            hostname=self.identity.hostname,
            pid=self.identity.pid,
            gpus=self.identity.gpus,
            job_ids=tuple(self.job_ids),
            jobs_done=self.jobs_done,
            jobs_failed=self.jobs_failed,
            busy_seconds=self.busy_seconds_until(now),
            last_seen_seconds=max(0.0, now - self.last_seen),
            gpu_memory_bytes=self.gpu_memory_bytes,
            gpu_busy_share=self.gpu_busy_share,
        )


class AgentsTable:
    """The live agents by name, and those with room by the number of their jobs, so that giving out a job does not look at all agents."""

    def __init__(self) -> None:
        self._entries: dict[str, AgentEntry] = {}
        self._free: dict[Role, dict[int, dict[str, AgentEntry]]] = {role: {} for role in ROLES}

    def get(self, name: str) -> AgentEntry | None:
        """Return a live agent."""
        return self._entries.get(name)

    def all(self) -> list[AgentEntry]:
        """Return the live agents in the order in which they came."""
        return list(self._entries.values())

    def of_role(self, role: Role) -> list[AgentEntry]:
        """Return the live agents of a role."""
        return [entry for entry in self._entries.values() if entry.identity.role == role]

    def has_free(self, role: Role) -> bool:
        """Say whether an agent of a role has room for another job and is not reserved."""
        return bool(self._free[role])

    def least_loaded(self, role: Role, avoid: Set[str] = frozenset()) -> AgentEntry | None:
        """Return the free agent of a role, not one to avoid, that holds the fewest jobs, of those the one that has been so longest."""
        for load in sorted(self._free[role]):
            for name, entry in self._free[role][load].items():
                if name not in avoid:
                    return entry
        return None

    def add(self, identity: AgentRegistered, now: float) -> AgentEntry:
        """Enter a new agent."""
        assert identity.agent not in self._entries, "the old incarnation leaves first"
        entry = AgentEntry(identity=identity, registered_at=now, last_seen=now, capacity=identity.capacity)
        self._entries[entry.name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Take an agent out."""
        self._file(self._entries.pop(name), None)

    def heard(self, entry: AgentEntry, now: float) -> None:
        """Take note of a sign of life."""
        entry.last_seen = now
        if entry.is_quiet:
            entry.is_quiet = False
            self.update(entry, now)

    def hush(self, quiet_seconds: float, now: float) -> None:
        """Give no new jobs to agents that were not heard for so long."""
        for entry in self._entries.values():
            if not entry.is_quiet and now - entry.last_seen > quiet_seconds:
                entry.is_quiet = True
                self.update(entry, now)

    def update(self, entry: AgentEntry, now: float) -> None:
        """Take note that leases, reservation or readiness of an agent changed."""
        if entry.job_ids and entry.busy_since is None:
            entry.busy_since = now
        elif not entry.job_ids and entry.busy_since is not None:
            entry.busy_seconds += now - entry.busy_since
            entry.busy_since = None
        self._file(entry, len(entry.job_ids) if entry.has_room else None)

    def _file(self, entry: AgentEntry, load: int | None) -> None:
        """Put an agent among the free ones with so many jobs; None: it is not free."""
        if entry.free_load == load:
            return
        by_load = self._free[entry.identity.role]
        if entry.free_load is not None:
            del by_load[entry.free_load][entry.name]
            if not by_load[entry.free_load]:
                del by_load[entry.free_load]
        if load is not None:
            by_load.setdefault(load, {})[entry.name] = entry
        entry.free_load = load

    def free_name(self, role: Role, taken: Iterable[str]) -> str:
        """Return the first name `role-n` that no agent has."""
        names = {*self._entries, *taken}
        return next(name for index in range(len(names) + 1) if (name := f"{role}-{index}") not in names)
