"""Die with the launcher where the kernel cannot see to it (macOS): look now and then whether it is still the parent.

On Linux `launch.tether` has the kernel do it, at once and whatever the process is at. Here a thread looks, which C code that keeps the
interpreter's lock can hold up.
"""

import os
import signal
import threading
import time

PARENT_VARIABLE = "SEAL_RUNTIME_PARENT_PID"
"""What `launch.tether` leaves in the environment on systems without the call. That file imports nothing of ours, so it has a copy."""
LOOK_SECONDS = 0.5


def follow_parent() -> None:
    """Begin to watch if the launcher asked for it; children of this process are not asked."""
    parent_pid = os.environ.pop(PARENT_VARIABLE, "")
    if parent_pid.isdecimal():
        threading.Thread(target=_follow, args=(int(parent_pid),), name="parent-watch", daemon=True).start()


def _follow(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
