"""Start a command that dies with the process that asked for it, then become that command.

Run as a script, `python -I -S tether.py PARENT_PID COMMAND...`: it asks the kernel for SIGKILL at the parent's death and execs.
The request survives the exec, so the command needs no knowledge of it. Only Linux has the call; elsewhere the environment tells the
command whose life it shall watch (`seal_runtime.parent_watch`).
Not imported by anything, and imports nothing of ours: it must start in milliseconds.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PARENT_VARIABLE = "SEAL_RUNTIME_PARENT_PID"


def main() -> None:
    """Tie this process to its parent and exec the command. Exits 1 when the parent is already gone."""
    parent_pid, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(parent_pid):
            sys.exit(1)  # the parent died before the request was made
    else:
        os.environ[PARENT_VARIABLE] = parent_pid
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
