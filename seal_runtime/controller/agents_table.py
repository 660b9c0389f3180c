"""The agents of a run as the controller sees them: who is there, how loaded, last heard when. Pure bookkeeping, time passed in."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.jobs import ROLES, Role
from protocol.status import AgentState, AgentStatus
from seal_runtime.controller.events import AgentRegistered


@dataclass(slots=True, kw_only=True)
class AgentEntry:
    """One live agent. `job_ids` are its leases in the order in which they were given.

    `reserved_for` is a job that must run alone. `is_quiet`: not heard for a few heartbeats, perhaps dying, so it gets no new jobs.
    """

    identity: AgentRegistered
    registered_at: float
    last_seen: float
    capacity: int
    is_ready: bool = False
    is_draining: bool = False
    is_quiet: bool = False
    step_age_seconds: float = 0.0
    job_ids: dict[str, None] = field(default_factory=dict)
    reserved_for: str = ""
    jobs_done: int = 0
    jobs_failed: int = 0
    busy_seconds: float = 0.0
    busy_since: float | None = None

    @property
    def name(self) -> str:
        """Return the agent's name."""
        return self.identity.agent

    @property
    def takes_jobs(self) -> bool:
        """Say whether the agent could be given a job if it had room."""
        return self.is_ready and not self.is_draining and not self.is_quiet

    @property
    def state(self) -> AgentState:
        """Return the state that people see."""
        if self.is_draining:
            return "draining"
        if not self.is_ready:
            return "starting"
        return "busy" if self.job_ids else "idle"

    def status(self, now: float) -> AgentStatus:
        """Return the wire form."""
        running = now - self.busy_since if self.busy_since is not None else 0.0
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
            busy_seconds=self.busy_seconds + running,
            last_seen_seconds=max(0.0, now - self.last_seen),
        )


class AgentsTable:
    """The live agents by name; `free` keeps those with room, so that giving out a job does not look at all agents."""

    def __init__(self) -> None:
        self._entries: dict[str, AgentEntry] = {}
        self._free: dict[Role, dict[str, AgentEntry]] = {role: {} for role in ROLES}

    def get(self, name: str) -> AgentEntry | None:
        """Return a live agent."""
        return self._entries.get(name)

    def all(self) -> list[AgentEntry]:
        """Return the live agents in the order in which they came."""
        return list(self._entries.values())

    def of_role(self, role: Role) -> list[AgentEntry]:
        """Return the live agents of a role."""
        return [entry for entry in self._entries.values() if entry.identity.role == role]

    def free(self, role: Role) -> list[AgentEntry]:
        """Return the agents of a role that have room for another job and are not reserved."""
        return list(self._free[role].values())

    def add(self, identity: AgentRegistered, now: float) -> AgentEntry:
        """Enter a new agent."""
        assert identity.agent not in self._entries, "the old incarnation leaves first"
        entry = AgentEntry(identity=identity, registered_at=now, last_seen=now, capacity=identity.capacity)
        self._entries[entry.name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Take an agent out."""
        entry = self._entries.pop(name)
        self._free[entry.identity.role].pop(name, None)

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
        has_room = entry.takes_jobs and not entry.reserved_for and len(entry.job_ids) < entry.capacity
        if has_room:
            self._free[entry.identity.role][entry.name] = entry
        else:
            self._free[entry.identity.role].pop(entry.name, None)

    def free_name(self, role: Role, taken: Iterable[str]) -> str:
        """Return the first name `role-n` that no agent has."""
        names = {*self._entries, *taken}
        return next(name for index in range(len(names) + 1) if (name := f"{role}-{index}") not in names)
