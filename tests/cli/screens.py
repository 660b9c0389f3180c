"""Terminals for tests: a tmux pane, which draws what a person would see, or a bare pseudo-terminal, which keeps all that was written."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from live_runs import environment

DEADLINE_SECONDS = 120.0
COLUMNS, LINES = 80, 24
_ESCAPES = re.compile(rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[@-_=>]|\x1b\][^\x07]*\x07")
_TERMINAL = {"TERM": "xterm-256color", "COLUMNS": "", "LINES": ""}


class Screen:
    """A command in a terminal of 80x24. Use as a context manager; the command is gone afterwards."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = command
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        raise AssertionError("each terminal ends its own way")

    def text(self) -> str:
        """Return what is on the screen."""
        raise AssertionError("each terminal knows")

    def press(self, key: str) -> None:
        """Press a letter."""
        raise AssertionError("each terminal knows")

    def forget(self) -> None:
        """Look only at what is drawn from now on, where the terminal keeps the past."""

    def exit_code(self) -> int:
        """Return the command's exit code once it has ended."""
        raise AssertionError("each terminal knows")

    def wait_for(self, *texts: str) -> None:
        """Wait until every text is on the screen. The deadline only bounds a failing test."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while missing := [text for text in texts if text not in self.text()]:
            assert time.monotonic() < deadline, f"not on the screen: {missing}\n{self.text()}"
            time.sleep(0.1)


class TmuxScreen(Screen):
    """A tmux server of its own."""

    def __enter__(self) -> Self:
        self._server = f"test-{uuid.uuid4().hex[:12]}"
        self._code = self._folder / f"{self._server}.code"
        shell = f"'{self._command[0]}' {' '.join(self._command[1:])}; echo $? > '{self._code}'; sleep {DEADLINE_SECONDS:g}"
        variables = environment() | _TERMINAL | {"TMUX": ""}
        start = ["new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "-c", str(self._folder), shell]
        subprocess.run(["tmux", "-L", self._server, "-f", "/dev/null", *start], env=variables, check=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._tmux("kill-server")

    def text(self) -> str:
        return self._tmux("capture-pane", "-p")

    def press(self, key: str) -> None:
        self._tmux("send-keys", key)

    def exit_code(self) -> int:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (self._code.exists() and self._code.read_text().strip()):
            assert time.monotonic() < deadline, f"the command goes on\n{self.text()}"
            time.sleep(0.05)
        return int(self._code.read_text())

    def _tmux(self, *arguments: str) -> str:
        result = subprocess.run(["tmux", "-L", self._server, *arguments], capture_output=True, text=True, timeout=60, check=False)
        return result.stdout


class PtyScreen(Screen):
    """A pseudo-terminal without an emulator: `text` is all that was written, without its escape sequences."""

    def __enter__(self) -> Self:
        self._written = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, env=environment() | _TERMINAL, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(60)
        os.close(self._master)

    def text(self) -> str:
        while select.select([self._master], [], [], 0)[0]:
            try:
                piece = os.read(self._master, 65536)
            except OSError:
                break
            if not piece:
                break
            self._written += piece
        return _ESCAPES.sub(b"", self._written).decode(errors="replace")

    def press(self, key: str) -> None:
        os.write(self._master, key.encode())

    def forget(self) -> None:
        self.text()
        self._written = b""

    def exit_code(self) -> int:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._process.poll() is None:
            self.text()
            assert time.monotonic() < deadline, "the command goes on"
            time.sleep(0.05)
        return self._process.returncode
