"""What was done to a run, when and to whom: `chaos.jsonl` in its run directory, one JSON line an event."""

import contextlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Literal

from seal_runtime.chaos.schedule import Injection

JOURNAL_FILE = "chaos.jsonl"
Event = Literal["delivered", "ended", "resumed"]


class Journal:
    """Appends to the journal and counts what was delivered by kind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.delivered: Counter[str] = Counter()
        self.targets: Counter[str] = Counter()
        self.num_resumes = 0
        self._unwritten: list[str] = []

    def delivered_now(self, injection: Injection, target: str, *, pid: int | None, jobs_done: int) -> None:
        """Note that a disturbance began."""
        self.delivered[label(injection)] += 1
        self.targets[target] += 1
        self._write(
            "delivered",
            injection=injection.number,
            kind=injection.kind,
            variant=injection.variant,
            target=target,
            pid=pid,
            seconds=round(injection.seconds, 3),
            latency_seconds=round(injection.latency_seconds, 3),
            due_share=round(injection.share, 4),
            jobs_done=jobs_done,
        )

    def ended_now(self, injection: Injection, target: str) -> None:
        """Note that a disturbance which lasts is over."""
        self._write("ended", injection=injection.number, kind=injection.kind, target=target)

    def resumed_now(self, reason: str) -> None:
        """Note that the run was taken up again after it stopped."""
        self.num_resumes += 1
        self._write("resumed", reason=reason)

    def _write(self, event: Event, **fields: object) -> None:
        self._unwritten.append(json.dumps({"at": time.time(), "event": event, **fields}) + "\n")
        with contextlib.suppress(OSError), self.path.open("a", encoding="utf-8") as stream:  # the disk may be full on purpose
            stream.write("".join(self._unwritten))
            stream.flush()
            self._unwritten.clear()


def label(injection: Injection) -> str:
    """Return kind and variant in one word for tables: `stop-long`."""
    return f"{injection.kind}-{injection.variant}" if injection.variant else injection.kind
