"""Where `top` gets its statuses: the run's controller, or the ledger when no controller is there. Used from one thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from launch.observe import RunObserver
from protocol.errors import SealError
from protocol.status import RunStatus
from seal_runtime.top.words import ENDED

LEDGER_EVERY_SECONDS = 5.0
AWAY = "the controller does not answer; this is the last that was heard"
OVER = "the run is over"
BROKEN_OFF = "no controller is there; this is what the ledger holds: `seal-runtime resume` continues the run"
_LEDGER_NOTES = {"interrupted": BROKEN_OFF, "starting": AWAY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A status, None while there is none, and what people should know about where it comes from ("" when it is fresh)."""

    status: RunStatus | None
    note: str


class Source(Protocol):
    """Gives readings. `read` may take seconds; `close` is called by the same thread, once."""

    def read(self) -> Reading:
        """Return how the run stands."""

    def close(self) -> None:
        """Let go of everything."""


class RunSource:
    """Reads one run through its connection file; `from_ledger` gives its status when no controller answers, None on another host."""

    def __init__(self, connection: Path, from_ledger: Callable[[], RunStatus] | None) -> None:
        self._connection = connection
        self._from_ledger = from_ledger
        self._observer = RunObserver(connection)
        self._kept: Reading | None = None
        self._ledger_due = 0.0

    def read(self) -> Reading:
        """Return the live status, else what the ledger holds (looked at now and then), else the last live one."""
        live = self._observer.status()
        if live is not None:
            self._kept, self._ledger_due = None, 0.0
            return Reading(status=live, note="")
        if self._from_ledger is not None and not self._is_over and time.monotonic() >= self._ledger_due:
            self._ledger_due = time.monotonic() + LEDGER_EVERY_SECONDS
            self._kept = self._read_ledger(self._from_ledger) or self._kept
        return self._kept or self._last()

    def close(self) -> None:
        """Disconnect."""
        self._observer.close()

    @property
    def _is_over(self) -> bool:
        """Say whether the ledger has told the end: a long one takes seconds to read, and only a controller can add to it."""
        return self._kept is not None and self._kept.note == OVER

    def _last(self) -> Reading:
        status = self._observer.last_status
        if status is None:
            return Reading(status=None, note=f"waiting for a controller at {self._connection}")
        return Reading(status=status, note=OVER if status.phase in ENDED else AWAY)

    def _read_ledger(self, from_ledger: Callable[[], RunStatus]) -> Reading | None:
        if self._connection.exists() and self._observer.last_status is not None:
            return None  # a controller that is only slow or about to be restarted knows more than its ledger
        try:
            status = from_ledger()
        except SealError as error:
            return Reading(status=self._observer.last_status, note=f"{AWAY} ({error})")
        return Reading(status=self._with_agents(status), note=_LEDGER_NOTES.get(status.phase, OVER))

    def _with_agents(self, status: RunStatus) -> RunStatus:
        """Return the ledger's status with what only the controller knew: how the time was spent."""
        last = self._observer.last_status
        return status if last is None else replace(status, roles=last.roles)
