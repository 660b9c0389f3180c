"""A log file that is rotated by size: `trainer-0.jsonl` is the newest, `trainer-0.jsonl.1` the one before it, and so on.

Invariants: a line is written whole with one write, in append mode; a rotation only renames, so that who reads a file can finish it. Two
processes may write one file (an agent that was started again while the old one still dies): each follows the other's rotation.
"""

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a file is put aside (size in bytes, 0: never) and how many such files are kept beside the newest."""

    max_bytes: int
    num_kept: int


NEVER = Rotation(max_bytes=0, num_kept=0)


def rotated(path: Path, number: int) -> Path:
    """Return the name of the `number`-th newest file; 0 is the one that is written to."""
    return path if number == 0 else path.with_name(f"{path.name}.{number}")


class LogFile:
    """Appends lines to `path`. Any thread may write. Raises OSError where a write does."""

    def __init__(self, path: Path, rotation: Rotation) -> None:
        self._path = path
        self._rotation = rotation
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = self._open()

    def write(self, line: str) -> None:
        """Append one line; `line` has no newline."""
        data = f"{line}\n".encode()
        with self._lock:
            if self._rotation.max_bytes:
                # A rename that is refused must not cost a line: the file then grows beyond its limit.
                with contextlib.suppress(OSError):
                    self._make_room(len(data))
            _write_all(self._descriptor, data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _make_room(self, num_bytes: int) -> None:
        facts = os.fstat(self._descriptor)
        if _inode(self._path) != facts.st_ino:
            self._open_again()  # another process has rotated it, or somebody has moved it away
            facts = os.fstat(self._descriptor)
        if facts.st_size and facts.st_size + num_bytes > self._rotation.max_bytes:
            self._rotate()
            self._open_again()

    def _rotate(self) -> None:
        """Move every file one place on; the oldest is overwritten, so that no file is ever without a name before its time."""
        kept = self._rotation.num_kept
        if kept == 0:
            self._path.unlink(missing_ok=True)
        for number in range(kept - 1, -1, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(rotated(self._path, number), rotated(self._path, number + 1))

    def _open_again(self) -> None:
        fresh = self._open()
        os.close(self._descriptor)
        self._descriptor = fresh

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
