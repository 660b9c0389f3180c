"""What every process that vLLM starts for an agent does first: it dies with its parent, and tells the agent why it failed.

vLLM calls this in all of its processes, by entry points: `tie_to_parent` as it looks for platforms, which is its first import, and
`prepare` once its logging is set up, which comes only after it has heard from its parent. Invariant: a process is touched only when it
is a child that an agent's vLLM has started; the agent itself, and vLLM used for anything else, are left alone.
"""

import contextlib
import ctypes
import logging
import os
import signal
import sys
from importlib.metadata import entry_points
from typing import IO

PARENT_PID = "SEAL_RUNTIME_VLLM_PARENT_PID"
ERROR_FILE = "SEAL_RUNTIME_VLLM_ERROR_FILE"
PLUGIN_NAME = "seal-runtime"

_PLUGIN_GROUPS = ("vllm.platform_plugins", "vllm.general_plugins")
_MULTIPROCESSING_FLAG = "--multiprocessing-fork"
"""On the command line of every process that multiprocessing spawns; its own notes on the parent come too late, after vLLM's import."""
_PR_SET_PDEATHSIG = 1
_MAX_ERROR_BYTES = 65_536


def is_installed() -> bool:
    """Say whether vLLM will find these functions: this package must be installed, not only importable."""
    return all(any(point.name == PLUGIN_NAME for point in entry_points(group=group)) for group in _PLUGIN_GROUPS)


def announce(error_file: IO[bytes] | None) -> None:
    """Set the environment by which children of this process know whose they are. `error_file` takes the reasons of their failures."""
    os.environ[PARENT_PID] = str(os.getpid())
    # Not fork: a forked child has this process's threads' locks, and vLLM would not call `prepare` in it again.
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    allowed = os.environ.get("VLLM_PLUGINS")
    if allowed is not None and PLUGIN_NAME not in allowed.split(","):
        os.environ["VLLM_PLUGINS"] = f"{allowed},{PLUGIN_NAME}"
    os.environ.pop(ERROR_FILE, None)  # its number may be another file's by now
    if error_file is not None:
        os.environ[ERROR_FILE] = f"/proc/{os.getpid()}/fd/{error_file.fileno()}"


def last_error(error_file: IO[bytes]) -> str:
    """Return the first reason that a child has left, "" when there is none: later ones follow from it."""
    error_file.seek(0)
    return error_file.read(_MAX_ERROR_BYTES).decode(errors="replace").partition("\0")[0].strip()


def tie_to_parent() -> None:
    """Have the kernel kill this process when its parent ends, if an agent's vLLM has started it. It is no platform, so: None."""
    parent = os.environ.get(PARENT_PID)
    if parent in (None, str(os.getpid())) or _MULTIPROCESSING_FLAG not in sys.orig_argv:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if str(os.getppid()) != parent:
            os._exit(1)  # the parent died before the kernel was asked
    os.environ[PARENT_PID] = str(os.getpid())  # for the children of this process


def prepare() -> None:
    """Tie this process to its parent and report its failures, if an agent's vLLM has started it."""
    tie_to_parent()
    logger = logging.getLogger("vllm")
    is_child = PARENT_PID in os.environ and _MULTIPROCESSING_FLAG in sys.orig_argv
    if is_child and not any(isinstance(handler, _ErrorReporter) for handler in logger.handlers):
        logger.addHandler(_ErrorReporter(logging.ERROR))


class _ErrorReporter(logging.Handler):
    """Appends the exceptions that vLLM logs to the agent's error file, each ended by a zero byte."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        path = os.environ.get(ERROR_FILE)
        if error is not None and path is not None:
            with contextlib.suppress(OSError), open(path, "ab") as file:
                file.write(f"{type(error).__name__}: {error}\0".encode())
