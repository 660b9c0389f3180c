"""Read the log files of a run in one order of time, once or for ever. Survives files that appear, are rotated or are half written.

Invariant: a line is read exactly once, whatever is renamed meanwhile: a file is known by its inode and is kept open until the one after
it has been found.
"""

import heapq
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from seal_runtime.cli.log_filter import LogLine, parse_line
from seal_runtime.store.log_file import rotated

HOLD_SECONDS = 0.5
"""How long a new line waits for older ones of other files; lines from other hosts are on their way for about so long."""
_MAX_TRIES = 20

Choice = Callable[[list[tuple[int, int]]], tuple[int, int] | None]
"""Picks one file out of `_files`, None for none of them."""


def merged(folder: Path) -> Iterator[LogLine]:
    """Yield all lines of all files of a logs folder, earliest first. Lines of one agent keep their order."""
    return LogFollower(folder).new_lines()


@dataclass(slots=True)
class LogTail:
    """One agent's files as one stream: `path`, and before it those that were put aside as `path.1`, `path.2`, ..."""

    path: Path
    time: str = ""
    rest: bytes = b""
    stream: BinaryIO | None = None

    def new_lines(self) -> Iterator[LogLine]:
        """Yield the lines that were completed since the last call. A file that shrank is read from its beginning."""
        while self._advance():
            assert self.stream is not None
            # Read before the next file is looked for and once more after it was found: only then nothing more is written here.
            yield from self._read(self.stream)
            following = self._following(self.stream)
            if following is None:
                return
            yield from self._read(self.stream)
            yield from self._flush()
            self.stream.close()
            self.stream = following

    def close(self) -> None:
        """Close what is open."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    def _advance(self) -> bool:
        """Open the oldest file at the first call; say whether there is one."""
        if self.stream is None:
            self.stream = _open_verified(self.path, lambda order: order[-1] if order else None)
        return self.stream is not None

    def _read(self, stream: BinaryIO) -> Iterator[LogLine]:
        if os.fstat(stream.fileno()).st_size < stream.tell():
            stream.seek(0)
            self.rest = b""
        while data := stream.readline():
            self.rest += data
            if data.endswith(b"\n"):
                yield from self._flush()

    def _flush(self) -> Iterator[LogLine]:
        text, self.rest = self.rest.decode(errors="replace").strip("\r\n"), b""
        if text.strip():
            line = parse_line(text)
            # a line without time, or with a clock set back, stays behind the line that stands before it
            self.time = max(self.time, line.time)
            yield line if line.time == self.time else LogLine(time=self.time, text=line.text, fields=line.fields)

    def _following(self, stream: BinaryIO) -> BinaryIO | None:
        """Open the file that was begun after this one, None while there is none; the oldest there is when this one was removed."""
        own = os.fstat(stream.fileno()).st_ino
        if _inode(self.path) == own:
            return None

        def choose(order: list[tuple[int, int]]) -> tuple[int, int] | None:
            place = next((place for place, (_, inode) in enumerate(order) if inode == own), len(order))
            return order[place - 1] if place > 0 else None

        return _open_verified(self.path, choose)


@dataclass(slots=True)
class LogFollower:
    """Follow every file of a folder, also those that come later."""

    folder: Path
    tails: dict[Path, LogTail] = field(default_factory=dict)

    def new_lines(self) -> Iterator[LogLine]:
        """Yield what all files gained since the last call, in order of time."""
        for path in sorted(self.folder.glob("*.jsonl")):
            self.tails.setdefault(path, LogTail(path))
        return heapq.merge(*(tail.new_lines() for tail in self.tails.values()), key=lambda line: line.time)


@dataclass(slots=True)
class TimeOrder:
    """Puts lines that arrive a little out of order into order: each is held back for `hold_seconds`."""

    hold_seconds: float = HOLD_SECONDS
    _waiting: list[tuple[str, int, float, LogLine]] = field(default_factory=list)
    _count: int = 0

    def add(self, line: LogLine, now: float) -> None:
        """Take a line that arrived `now` (seconds, monotonic)."""
        self._count += 1
        heapq.heappush(self._waiting, (line.time, self._count, now, line))

    def ready(self, now: float) -> Iterator[LogLine]:
        """Yield, in order of time, the lines that have waited long enough and all that stand before them."""
        last_due = max((entry[:2] for entry in self._waiting if entry[2] <= now - self.hold_seconds), default=("", 0))
        while self._waiting and self._waiting[0][:2] <= last_due:
            yield heapq.heappop(self._waiting)[3]

    def rest(self) -> Iterator[LogLine]:
        """Yield what still waits."""
        while self._waiting:
            yield heapq.heappop(self._waiting)[3]


def _files(path: Path) -> list[tuple[int, int]]:
    """Return number and inode of an agent's files, the newest first; a file that is renamed meanwhile is seen at least once.

    A rotation moves files to higher numbers, so the numbers are asked in rising order.
    """
    pattern = re.compile(re.escape(path.name) + r"\.(\d{1,3})")
    numbers = [int(match[1]) for name in _names(path.parent) if (match := pattern.fullmatch(name))]
    found: dict[int, int] = {}
    for number in range(max(numbers, default=0) + 2):
        try:
            found.setdefault(rotated(path, number).stat().st_ino, number)
        except OSError:
            continue
    return [(number, inode) for inode, number in found.items()]


def _open_verified(path: Path, choose: Choice) -> BinaryIO | None:
    """Open the file that `choose` picks out of `_files`; look again when a rotation came between looking and opening."""
    for _ in range(_MAX_TRIES):
        chosen = choose(_files(path))
        if chosen is None:
            return None
        number, inode = chosen
        try:
            stream = rotated(path, number).open("rb")
        except OSError:
            continue
        if os.fstat(stream.fileno()).st_ino == inode:
            return stream
        stream.close()
    return None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
