"""Keep as many agents of a role as `seal-runtime scale` asked for: start more, or let the newest finish their jobs and leave.

A request is acted upon once. Afterwards the usual rules hold: who dies is started again, who is drained or stopped by a user is not.
Agents that were attached by hand are neither counted nor touched. Devices are those of the role's section; one that a leaving agent still
holds is waited for.
"""

from collections.abc import Callable, Iterable, Mapping

import structlog

from launch.account import AccountFile
from launch.child import Child
from launch.local import LocalBackend
from launch.specs import AgentSpec
from protocol.jobs import Role
from protocol.status import AgentState, RunStatus, WantedAgents

log = structlog.get_logger()

MakeSpec = Callable[[Role, int, int], AgentSpec]
"""Returns the process of a role with this index in its name, on this group of the role's devices."""


class Scaler:
    """Follows the counts that the controller shows. Call `follow` with every status; it waits for nothing but the answers of `drain`.

    `num_slots` has the groups of devices of each role, None on CPU; `drain` asks the controller to drain an agent; `requests` are the
    numbers of the requests that the back-end's processes already correspond to; `account` tells others how far things are.
    """

    def __init__(
        self,
        backend: LocalBackend,
        make_spec: MakeSpec,
        *,
        num_slots: Mapping[Role, int | None],
        drain: Callable[[str], object],
        requests: Mapping[Role, int],
        account: AccountFile,
    ) -> None:
        self.requests = dict(requests)
        self.missing: dict[Role, int] = dict.fromkeys(requests, 0)
        """Agents that still have to be started."""
        self._backend = backend
        self._make_spec = make_spec
        self._num_slots = num_slots
        self._drain = drain
        self._account = account

    def follow(self, status: RunStatus) -> None:
        """Take up new requests and carry on with those before."""
        self._note_drained(status)
        for wanted in status.wanted:
            if wanted.request > self.requests.get(wanted.role, 0):
                self._begin(wanted)
        states = {agent.agent: agent.state for agent in status.agents}
        for role in self.missing:
            self._start_missing(role, states.keys())
        for child in self._backend.agents:
            if child.is_leaving:
                self._let_go(child, states)
        self._account.update(self._backend.agents, self.requests, self.missing)

    def close(self) -> None:
        """Take back the account: nobody follows requests any more."""
        self._account.remove()

    def _note_drained(self, status: RunStatus) -> None:
        """A user's `drain` is final, also when the agent dies before it is through."""
        draining = {(agent.agent, agent.pid) for agent in status.agents if agent.state == "draining"}
        for child in self._backend.agents:
            child.is_leaving |= any((name, child.pid) in draining for name in child.agents)

    def _begin(self, wanted: WantedAgents) -> None:
        self.requests[wanted.role] = wanted.request
        self._backend.agents[:] = [child for child in self._backend.agents if child.spec.role != wanted.role or _matters(child)]
        kept = [child for child in self._backend.agents if child.spec.role == wanted.role and child.is_kept]
        self.missing[wanted.role] = max(0, wanted.count - len(kept))
        surplus = kept[wanted.count :]
        for child in surplus:
            child.is_leaving = True
        log.info("scaling", worker_role=wanted.role, wanted=wanted.count, kept=len(kept), leaving=[child.spec.name for child in surplus])

    def _start_missing(self, role: Role, present: Iterable[str]) -> None:
        while self.missing[role]:
            slot = self._free_slot(role)
            if slot is None:
                return  # a leaving agent still holds the device
            taken = set(present).union(*(child.agents for child in self._backend.agents))
            index = 0
            while not taken.isdisjoint((spec := self._make_spec(role, index, slot)).name.split("+")):
                index += 1
            self._backend.add(spec)
            self.missing[role] -= 1

    def _free_slot(self, role: Role) -> int | None:
        """Return a group of the role's devices that no process has; any will do on CPU."""
        num_slots = self._num_slots[role]
        if num_slots is None:
            return 0
        held = {child.spec.gpus for child in self._backend.agents if child.spec.role == role and _matters(child)}
        free = (slot for slot in range(num_slots) if self._make_spec(role, 0, slot).gpus not in held)
        return next(free, None)

    def _let_go(self, child: Child, states: Mapping[str, AgentState]) -> None:
        """Have the controller drain a process's agents as soon as it knows them; a process that does not run just stays away."""
        if child.process is None:
            child.state = "left"
            return
        for name in child.agents:
            if states.get(name, "draining") != "draining":
                self._drain(name)


def _matters(child: Child) -> bool:
    """Say whether a process runs or may run again."""
    return child.process is not None or child.state == "waiting"
