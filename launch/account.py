"""What the launcher says of its processes, in `launched.json` of the run directory, for the commands that wait for it to act.

Written whole or not at all, and only while a launcher is alive; who finds one after a crash sees by the launcher's lock that it is stale.
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from launch.child import Child
from protocol.jobs import Role

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedProcess:
    """One process of the launcher; `agents` are its names at the controller, `pid` is 0 while it does not run."""

    agents: tuple[str, ...]
    roles: tuple[str, ...]
    state: str
    is_leaving: bool
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All processes of a launcher, the last scale request of each role that it has taken up, and how many agents it has yet to start."""

    processes: tuple[LaunchedProcess, ...]
    requests: dict[str, int]
    missing: dict[str, int]

    def kept(self, role: str) -> list[LaunchedProcess]:
        """Return the processes of a role that run, or will again, and are not on their way out."""
        return [each for each in self.processes if role in each.roles and each.state in ("waiting", "running") and not each.is_leaving]

    def leaving(self, role: str) -> list[LaunchedProcess]:
        """Return the processes of a role that finish their jobs and leave."""
        return [each for each in self.processes if role in each.roles and each.is_leaving and each.pid]


class AccountFile:
    """Writes the account when it changed. A disk that refuses it costs the commands their news, not the run anything."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = ""

    def update(self, children: Sequence[Child], requests: Mapping[Role, int], missing: Mapping[Role, int]) -> None:
        """Write how things stand now."""
        account = Account(processes=tuple(_process(child) for child in children), requests=_by_name(requests), missing=_by_name(missing))
        text = json.dumps(asdict(account), indent=1)
        if text == self._written:
            return
        staging = self._path.with_name(f".{self._path.name}.new")
        try:
            staging.write_text(text, encoding="utf-8")
            os.replace(staging, self._path)
            self._written = text
        except OSError as error:
            log.warning("account_not_written", path=str(self._path), reason=error.strerror)

    def remove(self) -> None:
        """Take the file away: the launcher ends."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def read_account(path: Path) -> Account | None:
    """Return the account, None when there is none that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        processes = tuple(
            LaunchedProcess(
                agents=tuple(each["agents"]),
                roles=tuple(each["roles"]),
                state=each["state"],
                is_leaving=each["is_leaving"],
                pid=each["pid"],
            )
            for each in data["processes"]
        )
        return Account(processes=processes, requests=dict(data["requests"]), missing=dict(data["missing"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _by_name(counts: Mapping[Role, int]) -> dict[str, int]:
    return {str(role): count for role, count in counts.items()}


def _process(child: Child) -> LaunchedProcess:
    roles = tuple(child.spec.roles)
    return LaunchedProcess(agents=tuple(child.agents), roles=roles, state=child.state, is_leaving=child.is_leaving, pid=child.pid or 0)
