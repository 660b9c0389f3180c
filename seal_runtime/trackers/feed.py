"""Follow metrics.jsonl and hand each record to every tracker once, also across restarts.

Invariant: a tracker that fails is told once and left out from then on; nothing here can reach the run, whose only tie is that file.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from seal_runtime.metrics.records import read_from, scalars_of
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.trackers.base import Opened, TrackedRun, Tracker

log = structlog.get_logger()

FOLDER = "trackers"
STATE_FILE = "state.json"


@dataclass(slots=True, kw_only=True)
class _Fed:
    """A tracker with how far it was fed, in bytes of metrics.jsonl."""

    tracker: Tracker
    run_id: str
    offset: int


class Feed:
    """The trackers of one run. Use from one thread; `close` it."""

    def __init__(self, run: RunDirectory, settings: dict[str, Any], openers: Mapping[str, Callable[[TrackedRun], Opened]]) -> None:
        self._metrics = run.metrics
        self._folder = run.root / FOLDER
        self._folder.mkdir(exist_ok=True)
        self._state = _read_state(self._folder / STATE_FILE)
        self._fed: dict[str, _Fed] = {}
        for name, opener in openers.items():
            before = self._state.get(name, {})
            tracked = TrackedRun(name=run.root.name, folder=self._folder, settings=settings, known_id=str(before.get("run_id", "")))
            try:
                opened = opener(tracked)
            except Exception as error:
                _left_out(name, error)
                continue
            log.info("tracker_began", tracker=name)
            self._fed[name] = _Fed(tracker=opened.tracker, run_id=opened.run_id, offset=int(before.get("offset", 0)))

    @property
    def is_empty(self) -> bool:
        """Say whether no tracker is left."""
        return not self._fed

    def advance(self) -> None:
        """Hand on what was written since the last time."""
        has_news = False
        for name, fed in list(self._fed.items()):
            records, offset = read_from(self._metrics, fed.offset)
            if offset == fed.offset:
                continue
            try:
                for record in records:
                    fed.tracker.write(scalars_of(record))
            except Exception as error:
                _left_out(name, error)
                del self._fed[name]
                continue
            fed.offset, has_news = offset, True
        if has_news:
            self._keep_state()

    def close(self) -> None:
        """Hand on the rest and close every tracker."""
        self.advance()
        for name, fed in self._fed.items():
            try:
                fed.tracker.close()
            except Exception as error:
                _left_out(name, error)
        self._fed.clear()

    def _keep_state(self) -> None:
        self._state |= {name: {"run_id": fed.run_id, "offset": fed.offset} for name, fed in self._fed.items()}
        staging = self._folder / f".{STATE_FILE}.tmp"
        try:
            staging.write_text(json.dumps(self._state), encoding="utf-8")
            os.replace(staging, self._folder / STATE_FILE)
        except OSError as error:
            log.warning("tracker_state_lost", reason=error.strerror)


def _left_out(name: str, error: Exception) -> None:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, ImportError):
        reason = f"{error}; `pip install 'seal-runtime[{name}]'` adds it"
    log.warning("tracker_left_out", tracker=name, reason=reason[:1000])


def _read_state(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
