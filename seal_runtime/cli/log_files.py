"""Read the log files of a run in one order of time, once or for ever. Survives files that appear, are rotated or are half written."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seal_runtime.cli.log_filter import LogLine, parse_line


def merged(folder: Path) -> Iterator[LogLine]:
    """Yield all lines of all files of a logs folder, earliest first. Lines of one file keep their order."""
    return heapq.merge(*(_lines(path) for path in sorted(folder.glob("*.jsonl"))), key=lambda line: line.time)


@dataclass(slots=True)
class LogTail:
    """What is new in one file since the last look."""

    path: Path
    offset: int = 0
    inode: int = 0
    rest: bytes = b""

    def new_lines(self) -> list[LogLine]:
        """Return the lines that were completed since the last call. A file that shrank or was replaced is read from its beginning."""
        try:
            with self.path.open("rb") as stream:
                facts = self.path.stat()
                if facts.st_ino != self.inode or facts.st_size < self.offset:
                    self.offset, self.inode, self.rest = 0, facts.st_ino, b""
                stream.seek(self.offset)
                data = stream.read()
        except OSError:
            return []
        self.offset += len(data)
        *whole, self.rest = (self.rest + data).split(b"\n")
        return [parse_line(line.decode(errors="replace")) for line in whole if line.strip()]


@dataclass(slots=True)
class LogFollower:
    """Follow every file of a folder, also those that come later."""

    folder: Path
    tails: dict[Path, LogTail] = field(default_factory=dict)

    def new_lines(self) -> list[LogLine]:
        """Return what all files gained since the last call, in order of time."""
        for path in sorted(self.folder.glob("*.jsonl")):
            self.tails.setdefault(path, LogTail(path))
        batch = list(heapq.merge(*(tail.new_lines() for tail in self.tails.values()), key=lambda line: line.time))
        return sorted(batch, key=lambda line: line.time)


def _lines(path: Path) -> Iterator[LogLine]:
    time = ""
    try:
        with path.open("rb") as stream:
            for raw in stream:
                if not raw.strip() or not raw.endswith(b"\n"):
                    continue  # empty, or being written at this moment
                line = parse_line(raw.decode(errors="replace").rstrip("\r\n"))
                # a line without time, or with a clock set back, stays behind the line that stands before it
                time = max(time, line.time)
                yield line if line.time == time else LogLine(time=time, text=line.text, fields=line.fields)
    except OSError:
        return
