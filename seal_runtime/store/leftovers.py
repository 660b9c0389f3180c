"""Temporary folders that name their owner, and the removal of those whose owner is gone (killed before it could clean up).

Invariant: the folder of a process that may be alive is never removed. The name says where the owner runs (host, boot and pid namespace,
hashed), its pid and its start time, so that neither a reused pid nor a container's numbering deceives.
"""

import functools
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from pathlib import Path

import structlog

log = structlog.get_logger()

STAGING_PREFIX = ".staging-"
SCRATCH_PREFIX = "seal-scratch-"
FOREIGN_SECONDS = 24 * 3600.0
"""Adapters under construction whose owner cannot be asked after (another host on the same disk) are left alone for so long; writing one
takes minutes at most."""

_MEMORY = Path("/dev/shm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OWNER = re.compile(r"(?P<place>[0-9a-f]{12})-(?P<pid>\d+)-(?P<started>\d+)-")


def staging_name(unique: str) -> str:
    """Return a folder name of this process for an adapter under construction."""
    return f"{STAGING_PREFIX}{owner_tag()}-{unique}"


def memory_folder() -> Path:
    """Return the folder for scratch files: in memory where there is one."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def make_scratch(label: str, parent: Path | None = None) -> Path:
    """Make a private folder of this process, by default among the temporary files. Raises OSError."""
    return Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{owner_tag()}-{label}-", dir=parent))


def owner_tag() -> str:
    """Return what identifies this process in a folder's name."""
    pid = os.getpid()
    return f"{_place()}-{pid}-{_started(pid) or 0}"


def sweep_staging(store: Path) -> int:
    """Remove unfinished adapters of dead processes from a store; return how many."""
    return _sweep(store, STAGING_PREFIX, foreign_seconds=FOREIGN_SECONDS)


def sweep_scratch(parent: Path | None = None) -> int:
    """Remove this user's scratch folders of dead processes, by default wherever they are made; return how many."""
    parents = {parent} if parent is not None else {memory_folder(), Path(tempfile.gettempdir())}
    return sum(_sweep(folder, SCRATCH_PREFIX, foreign_seconds=None) for folder in parents)


def _sweep(parent: Path, prefix: str, *, foreign_seconds: float | None) -> int:
    removed = 0
    try:
        folders = [path for path in parent.iterdir() if path.name.startswith(prefix)]
    except OSError:
        return 0
    for folder in folders:
        if _is_abandoned(folder, folder.name.removeprefix(prefix), foreign_seconds):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    if removed:
        log.info("leftovers_removed", folder=str(parent), number=removed)
    return removed


def _is_abandoned(folder: Path, name: str, foreign_seconds: float | None) -> bool:
    try:
        facts = folder.lstat()
    except OSError:
        return False
    if not folder.is_dir() or folder.is_symlink() or facts.st_uid != os.geteuid():
        return False
    owner = _OWNER.match(name)
    if owner is not None and owner["place"] == _place():
        return _started(int(owner["pid"])) != int(owner["started"])
    return foreign_seconds is not None and time.time() - facts.st_mtime > foreign_seconds


@functools.cache
def _place() -> str:
    """Return the hash of what a pid means something in: this host since its last boot, in this pid namespace."""
    facts = [socket.gethostname()]
    try:
        facts += [_BOOT_ID.read_text(encoding="ascii").strip(), os.readlink("/proc/self/ns/pid")]
    except OSError:
        facts.append("no /proc")  # macOS
    return hashlib.sha256("|".join(facts).encode()).hexdigest()[:12]


def _started(pid: int) -> int | None:
    """Return when a process started, in the kernel's ticks since boot (0 where the kernel does not say); None when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _started_without_proc(pid)
    return None if fields[0] in "ZX" else int(fields[19])


def _started_without_proc(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0
