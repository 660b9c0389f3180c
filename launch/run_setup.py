"""Prepare a run directory: claim it, refuse what would overwrite a run, write the resolved topology.

Invariants: a directory that holds a run is never reused by a new one (`resume` continues it); one launcher at a time works in a
directory (an advisory lock that dies with its holder); a file is there whole or not at all.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seal_runtime.config.topology import Topology
from seal_runtime.errors import ConfigError, LaunchError
from seal_runtime.store.run_directory import RunDirectory

LOCK_FILE = ".launch.lock"
MAX_NUMBERED = 10_000
LOCK_TRIES = 10


@contextmanager
def claim(run: RunDirectory) -> Iterator[None]:
    """Hold the run directory against other launchers. Raises LaunchError when one works in it."""
    path = run.root / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LaunchError(f"cannot write in the run directory {run.root}: {error.strerror}") from error
    try:
        if not _lock(descriptor):
            raise LaunchError(_busy(run))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_claimed(run: RunDirectory) -> bool:
    """Say whether a launcher works in the run directory."""
    try:
        descriptor = os.open(run.root / LOCK_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def new_run_directory(topology: Topology, *, name: str | None, run_dir: Path | None) -> RunDirectory:
    """Make the folder of a new run and return it.

    A name or folder that the user gave is taken as it is and refused when it holds a run; a name that came from the topology
    gets the next free number. Raises LaunchError for a run that exists or goes on, ConfigError for an impossible place.
    """
    if run_dir is not None or name is not None:
        run = RunDirectory(run_dir if run_dir is not None else Path(topology.run.dir) / str(name))
        if not _make(run):
            refuse_existing(run)
        return run
    base = Path(topology.run.dir)
    for number in range(1, MAX_NUMBERED):
        run = RunDirectory(base / (topology.run.name if number == 1 else f"{topology.run.name}-{number}"))
        if is_claimed(run):
            raise LaunchError(_busy(run))
        if _make(run):
            return run
    raise LaunchError(f"{base} holds {MAX_NUMBERED} runs called {topology.run.name}; choose a name with --name")


def refuse_existing(run: RunDirectory) -> None:
    """Raise LaunchError when the folder holds anything; an empty folder is fine."""
    if is_claimed(run):
        raise LaunchError(_busy(run))
    if any(run.root.iterdir()):
        what = "a run" if run.topology.exists() else "files"
        raise LaunchError(f"{run.root} already holds {what}: continue it with `seal-runtime resume {run.root}`, or choose another --name")


def write_topology(run: RunDirectory, text: str) -> None:
    """Write the resolved topology so that it is there whole or not at all. Raises LaunchError."""
    staging = run.root / f".{run.topology.name}.{uuid.uuid4().hex}"
    try:
        run.create()
        with staging.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staging, run.topology)
    except OSError as error:
        staging.unlink(missing_ok=True)
        raise LaunchError(f"cannot write {run.topology}: {error.strerror}; is the disk full or read-only?") from error


def _lock(descriptor: int) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)  # `is_claimed` of another process holds the lock for an instant
        else:
            return True
    return False


def _make(run: RunDirectory) -> bool:
    try:
        run.root.parent.mkdir(parents=True, exist_ok=True)
        run.root.mkdir()
    except FileExistsError as error:
        if not run.root.is_dir():
            raise ConfigError(
                f"expected a folder for the run, but {error.filename} is a file; choose another --name or --run-dir"
            ) from error
        return False
    except OSError as error:
        raise ConfigError(f"cannot make the run directory {run.root}: {error.strerror}; choose another --run-dir or run.dir") from error
    return True


def _busy(run: RunDirectory) -> str:
    try:
        pid = (run.root / LOCK_FILE).read_text(encoding="utf-8").strip() or "unknown"
    except OSError:
        pid = "unknown"
    where = run.root
    return (
        f"another launch (pid {pid}) is running in {where}: watch it with `seal-runtime status {where}`, "
        f"end it with `seal-runtime stop {where}`, or start beside it with --name"
    )
