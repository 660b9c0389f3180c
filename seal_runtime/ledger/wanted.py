"""The counts that `seal-runtime scale` asked for, as they lie in the ledger: one fact of the run, so that every later controller and
launcher finds them.
"""

import json
from collections.abc import Iterable, Mapping

from protocol.jobs import ROLES, Role
from protocol.status import WantedAgents
from seal_runtime.errors import LedgerError

WANTED_KEY = "wanted_agents"


def wanted_of(meta: Mapping[str, str], counts: Mapping[Role, int]) -> dict[Role, WantedAgents]:
    """Return what is wanted of every role: the last request in the ledger's facts, or else the topology's `counts`.

    Raises LedgerError when the fact is not one of this release.
    """
    wanted = {role: WantedAgents(role=role, count=counts[role], request=0) for role in ROLES}
    try:
        for role, (count, request) in json.loads(meta.get(WANTED_KEY, "{}")).items():
            wanted[role] = WantedAgents(role=role, count=int(count), request=int(request))
    except (ValueError, TypeError, AttributeError) as error:
        raise LedgerError(f"expected role: [count, request] in the ledger's {WANTED_KEY}, got {meta[WANTED_KEY]!r}") from error
    return wanted


def wanted_meta(wanted: Iterable[WantedAgents]) -> dict[str, str]:
    """Return the fact to commit; roles that were never scaled stay with their topology."""
    return {WANTED_KEY: json.dumps({entry.role: [entry.count, entry.request] for entry in wanted if entry.request})}
