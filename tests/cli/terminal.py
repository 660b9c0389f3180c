"""Run a command in a real terminal and read its screen: tmux where there is one, a pseudo-terminal of our own otherwise."""

import contextlib
import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import termios
import time
import uuid
from pathlib import Path

DEADLINE_SECONDS = 60.0
STYLE = re.compile(r"\x1b\[[0-9;]*m")
_DONE = "-- the command has ended --"


def backends() -> list[str]:
    """Return the ways to have a terminal here; there is always one."""
    return ["pty", *(["tmux"] if shutil.which("tmux") else [])]


def screen_of(backend: str, argv: list[str], folder: Path, environment: dict[str, str], *, columns: int = 80, rows: int = 300) -> str:
    """Return everything that a command showed in a terminal of this size, with its styles as escape sequences."""
    known = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")} | {"TERM": "xterm-256color"}
    show = _tmux if backend == "tmux" else _pty
    return show(argv, folder, known, columns, rows)


def plain(screen: str) -> list[str]:
    """Return the lines of a screen without styles."""
    return [line.rstrip() for line in STYLE.sub("", screen).splitlines()]


def _pty(argv: list[str], folder: Path, environment: dict[str, str], columns: int, rows: int) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(argv, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + DEADLINE_SECONDS
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other side is closed: Linux says EIO
                data = b""
            if not data:
                break
            shown += data
        assert process.wait(timeout=DEADLINE_SECONDS) == 0, shown.decode()
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()
    return shown.decode().replace("\r\n", "\n")


def _tmux(argv: list[str], folder: Path, environment: dict[str, str], columns: int, rows: int) -> str:
    # A name of its own: the server of the terminal before may still be on its way out.
    server = ["tmux", "-S", str(folder / f"tmux-{uuid.uuid4().hex[:12]}.socket"), "-f", os.devnull]
    # The shell stays until the screen has been read; its last line says that the command is over.
    line = f"{shlex.join(argv)}; echo '{_DONE}'; sleep {DEADLINE_SECONDS:g}"
    start = ["new-session", "-d", "-s", "s", "-x", str(columns), "-y", str(rows), "-c", str(folder), "sh", "-c", line]
    subprocess.run([*server, *start], env=environment, check=True, timeout=DEADLINE_SECONDS)
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            captured = subprocess.run(
                [*server, "capture-pane", "-p", "-e", "-t", "s"], env=environment, capture_output=True, text=True, check=True, timeout=30
            ).stdout
            if _DONE in captured:
                return captured.partition(_DONE)[0]
            assert time.monotonic() < deadline, captured
            time.sleep(0.1)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run([*server, "kill-server"], env=environment, check=True, timeout=30)
