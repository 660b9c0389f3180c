"""A child process whose use of the machine is known after its end."""

import os
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import IO

from seal_runtime.errors import LaunchError
from seal_runtime.own_modules import import_environment


class Child:
    """Starts a command with `text` on its standard input. `usage` is what it used, once it has ended."""

    def __init__(self, command: Sequence[str], text: str = "") -> None:
        self.name = " ".join(command[2:4])
        self.usage: resource.struct_rusage | None = None
        environment = os.environ | import_environment() | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, text=True)
        stdin: IO[str] | None = self._process.stdin
        assert stdin is not None, "opened with a pipe"
        stdin.write(text)
        stdin.close()

    def has_ended(self) -> bool:
        """Say whether the process is gone. Raises LaunchError when it failed."""
        if self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode, self.usage = os.waitstatus_to_exitcode(status), usage
        if self._process.returncode:
            raise LaunchError(f"`{self.name}` ended with exit code {self._process.returncode}; what it said stands above")
        return self._process.returncode is not None

    def wait(self, what: str, condition: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until a condition of the process holds. Raises LaunchError when it failed, or not in time."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            self.has_ended()
            if time.monotonic() > deadline:
                raise LaunchError(f"`{self.name}` {what} within {timeout_seconds:.0f} s")
            time.sleep(0.02)

    def kill(self) -> None:
        """Make sure that the process is gone."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
