"""The children of a process: which are vLLM's (those that multiprocessing spawned), and their memory.

One that ends while it is looked at is none.
"""

import contextlib

import psutil


def resident_bytes() -> int:
    """Return what this process and its descendants hold in memory."""
    total = psutil.Process().memory_info().rss
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += child.memory_info().rss
    return int(total)


def spawned_engines(pid: int, *, recursive: bool) -> list[psutil.Process]:
    """Return the live engine processes below a process; earlier tests leave zombies and a resource tracker, which are none."""
    engines = []
    for child in psutil.Process(pid).children(recursive=recursive):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie has no command line, and is a NoSuchProcess to psutil
            if "spawn_main" in " ".join(child.cmdline()):
                engines.append(child)
    return engines
