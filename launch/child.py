"""One local process over all its lives: start, notice its end, signal it and everything it started.

Invariant: the process leads a session of its own, so Ctrl-C in the terminal reaches the launcher only and a signal to the group
reaches the process's own children too; it is tethered to the launcher (`launch.tether`), so it cannot outlive it.
"""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from launch.restarts import RestartBudget
from launch.specs import AgentSpec
from seal_runtime.errors import LaunchError

ChildState = Literal["waiting", "running", "left", "given_up"]
"""`waiting` to be started (again), `running`, `left` in good order and not wanted back, `given_up` after too many deaths."""

TETHER = Path(__file__).with_name("tether.py")
LAST_OUTPUT_BYTES = 8192
EXIT_DISMISSED = 6
"""What `agents.__main__` ends with after a controller's Shutdown."""


@dataclass(slots=True, kw_only=True)
class Child:
    """A process that the launcher owns. Start it from the main thread: the tether breaks when the starting thread ends."""

    spec: AgentSpec
    output: Path
    budget: RestartBudget
    state: ChildState = "waiting"
    start_at: float = 0.0
    """Not before this time (the backend's clock) while `waiting`."""
    is_leaving: bool = False
    """It was asked to leave: however it ends, it is not started again."""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    """When this life began (the backend's clock)."""

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        return self.process.pid if self.process is not None else None

    def start(self) -> None:
        """Start a life. Raises LaunchError when the operating system refuses."""
        command = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *self.spec.argv]
        try:
            with self.output.open("ab") as output:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | self.spec.env,
                    start_new_session=True,
                )
        except OSError as error:
            raise LaunchError(f"cannot start {self.spec.name} ({' '.join(self.spec.argv)}): {error.strerror}") from error
        self.state = "running"

    def exit_code(self) -> int | None:
        """Return the exit code (negative: the signal) once the process has ended, None before. What it left behind is killed first."""
        if self.process is None:
            return None
        if not _has_ended(self.process):
            return None
        self.send_signal(signal.SIGKILL)
        code = self.process.wait()
        self.process = None
        return code

    def send_signal(self, number: int) -> None:
        """Signal the process and everything it started; one that is gone is fine."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    @property
    def agents(self) -> list[str]:
        """Return the names of the agents that the process is to the controller, one for each role."""
        return self.spec.name.split("+")

    @property
    def is_kept(self) -> bool:
        """Say whether the process runs or will be started (again), and nobody asked it to leave."""
        return self.state in ("waiting", "running") and not self.is_leaving

    def last_output(self, num_lines: int = 6) -> str:
        """Return the last lines that the process wrote to stdout or stderr, for error messages."""
        try:
            with self.output.open("rb") as output:
                output.seek(0, os.SEEK_END)
                output.seek(max(0, output.tell() - LAST_OUTPUT_BYTES))
                lines = output.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(line for line in lines[-num_lines:] if line.strip())


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a process has ended, if possible without reaping it: until then its group id cannot be given to anybody else."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None  # macOS before Python 3.13


def was_stopped(code: int) -> bool:
    """Say whether an exit code is that of a process that somebody stopped: a good end, or SIGTERM before it could make one."""
    return code in (0, -signal.SIGTERM)


def was_dismissed(code: int) -> bool:
    """Say whether an agent ended because its controller said that the run is over."""
    return code == EXIT_DISMISSED


def describe_exit(code: int) -> str:
    """Return an exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
