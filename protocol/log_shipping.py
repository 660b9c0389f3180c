"""Log lines on their way to the controller: a bounded queue between the threads that log and the bus thread.

Invariants: logging never waits and never fails for the bus's sake; what waits is bounded in lines and bytes, the oldest lines give way and
are counted; a batch is small and batches are spaced, so that logs never crowd out heartbeats and results.
"""

import json
import threading
from collections import deque

from protocol.messages import LogLines
from protocol.schema import MAX_LOG_LINE_CHARS

MAX_WAITING_LINES = 4096
MAX_WAITING_CHARS = 1 << 20
MAX_BATCH_LINES = 128
MAX_BATCH_CHARS = 64 << 10
BATCH_SECONDS = 0.25
"""Least time between two batches: with the bounds above at most 512 lines and 256 kB a second."""
_KEPT_CHARS = MAX_LOG_LINE_CHARS // 4
"""What is kept of a line that is too long; escaped once more it still fits."""


class LogShipper:
    """Any thread calls `put`; the bus thread calls the rest. Lines are JSON objects without newlines (ASCII, as the logs are written)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[str] = deque()
        self._num_chars = 0
        self._num_dropped = 0
        self._next_at = 0.0

    def put(self, line: str) -> None:
        """Add a line; when there is no room the oldest lines go."""
        line = line if len(line) <= MAX_LOG_LINE_CHARS else _cut(line)
        with self._lock:
            self._lines.append(line)
            self._num_chars += len(line)
            while len(self._lines) > MAX_WAITING_LINES or self._num_chars > MAX_WAITING_CHARS:
                self._num_chars -= len(self._lines.popleft())
                self._num_dropped += 1

    def take(self, now: float, *, hurry: bool) -> LogLines | None:
        """Return the next batch, None when nothing waits or the last batch is too young (unless in a `hurry`)."""
        with self._lock:
            if not self._lines or (now < self._next_at and not hurry):
                return None
            self._next_at = now + BATCH_SECONDS
            batch: list[str] = []
            room = MAX_BATCH_CHARS
            while self._lines and len(batch) < MAX_BATCH_LINES and len(self._lines[0]) <= room:
                batch.append(self._lines.popleft())
                room -= len(batch[-1])
            self._num_chars -= MAX_BATCH_CHARS - room
            num_dropped, self._num_dropped = self._num_dropped, 0
            return LogLines(lines=tuple(batch), num_dropped=num_dropped)

    def seconds_until_due(self, now: float) -> float | None:
        """Return after how many seconds the next batch may go, None while nothing waits."""
        with self._lock:
            return max(0.0, self._next_at - now) if self._lines else None


def _cut(line: str) -> str:
    """Return an event with the beginning of a line that is too long: still JSON, with its time, level and name."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = {}
    kept = {key: str(fields[key])[:200] for key in ("time", "level", "event", "role", "agent", "job") if key in fields}
    return json.dumps(kept | {"cut_from_chars": len(line), "beginning": line[:_KEPT_CHARS]})
