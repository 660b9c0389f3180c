"""How many agents of each role the launcher shall keep. Only told on: the controller itself starts and stops nothing."""

import time

from protocol.jobs import ROLES, Role
from protocol.status import WantedAgents
from seal_runtime.config.scaling import scale_problem
from seal_runtime.config.topology import Topology
from seal_runtime.ledger import Ledger
from seal_runtime.ledger.wanted import wanted_meta, wanted_of


class WantedCounts:
    """The counts of one run: the topology's until a request changes them. Invariant: a count that is shown is committed."""

    def __init__(self, topology: Topology, ledger: Ledger) -> None:
        """Take up the counts of the ledger. Raises LedgerError."""
        self._topology = topology
        self._ledger = ledger
        self._wanted = wanted_of(ledger.meta(), {role: topology.agents(role).count for role in ROLES})

    def all(self) -> tuple[WantedAgents, ...]:
        """Return what is wanted of every role."""
        return tuple(self._wanted.values())

    def count(self, role: Role) -> int:
        """Return how many agents of a role are wanted."""
        return self._wanted[role].count

    def is_scaled(self, role: Role) -> bool:
        """Say whether the count came from a request, so that the launcher starts agents while others are there."""
        return self._wanted[role].request > 0

    def why_impossible(self, role: Role, count: int) -> str | None:
        """Say why the launcher cannot keep so many; None when it can."""
        return scale_problem(self._topology, role, count)

    def change(self, role: Role, count: int) -> None:
        """Commit a new count. Raises LedgerError, after which the old one stands."""
        wanted = self._wanted | {role: WantedAgents(role=role, count=count, request=self._wanted[role].request + 1)}
        self._ledger.commit((), now=time.time(), meta=wanted_meta(wanted.values()))
        self._wanted = wanted
