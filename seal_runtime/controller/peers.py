"""Which connection is which agent. A peer id names a connection, an incarnation a process, a name an agent as people know it.

Invariant: a name belongs to one process at a time, the last that registered under it; the one before is refused from then on, so that
two processes under one name cannot chase each other out.
"""

from protocol.jobs import Role
from protocol.messages import Register
from seal_runtime.controller.agents_table import AgentsTable
from seal_runtime.controller.wanted import WantedCounts

RESERVED_NAMES = frozenset({"controller", "launch"})
"""Names of log files that are not an agent's."""


class PeerTable:
    """Maps connections to agents and chooses names."""

    def __init__(self, wanted: WantedCounts, agents: AgentsTable) -> None:
        self._wanted = wanted
        self._agents = agents
        self._agent_of: dict[bytes, str] = {}
        self._peer_of: dict[str, bytes] = {}
        self._incarnation_of: dict[str, str] = {}
        self._name_of: dict[str, str] = {}
        self._superseded: set[str] = set()

    def agent_of(self, peer_id: bytes) -> str | None:
        """Return the agent that speaks on a connection."""
        return self._agent_of.get(peer_id)

    def peer_of(self, agent: str) -> bytes | None:
        """Return the connection on which an agent listens."""
        return self._peer_of.get(agent)

    def is_superseded(self, incarnation: str) -> bool:
        """Say whether another process has taken over the name of this one."""
        return incarnation in self._superseded

    def name_for(self, register: Register) -> str:
        """Return the agent's final name: the one it has, the one it wishes, or a free one."""
        own = self._name_of.get(register.incarnation)
        if own is not None:
            return own
        holder = self._agents.get(register.agent)
        is_free = register.agent not in RESERVED_NAMES and (holder is None or holder.identity.role == register.role)
        return register.agent if register.agent and is_free else self._free_name(register.role)

    def bind(self, peer_id: bytes, name: str, incarnation: str) -> None:
        """Let an agent speak on a connection, and the connection and process that it had before no more."""
        former = self._incarnation_of.get(name)
        if former is not None and former != incarnation:
            self._superseded.add(former)
            del self._name_of[former]
        self._name_of[incarnation] = name
        old_peer = self._peer_of.get(name)
        if old_peer is not None:
            self._agent_of.pop(old_peer, None)
        self._incarnation_of[name] = incarnation
        self._peer_of[name] = peer_id
        self._agent_of[peer_id] = name

    def unbind(self, peer_id: bytes) -> None:
        """Forget a connection; its agent may come back on another."""
        name = self._agent_of.pop(peer_id, None)
        if name is not None and self._peer_of.get(name) == peer_id:
            del self._peer_of[name]

    def _free_name(self, role: Role) -> str:
        """Return `role-n`, above the names that the launcher gives (around those that it sees taken) and those that were ever used."""
        num_launched = self._wanted.count(role)
        num_around = len(self._agents.of_role(role)) if self._wanted.is_scaled(role) else 0
        launched = {f"{role}-{index}" for index in range(num_launched + num_around)}
        return self._agents.free_name(role, launched | RESERVED_NAMES | self._incarnation_of.keys())
