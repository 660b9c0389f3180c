"""What a run must not leave behind: processes, half-made files, adapters that nobody keeps, shared memory."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from protocol.jobs import AdaptResult
from seal_runtime.chaos.checks import Check, check
from seal_runtime.chaos.ledger_audit import LedgerAudit
from seal_runtime.config.topology import Topology
from seal_runtime.errors import StoreError
from seal_runtime.store.adapters import adapter_sha256
from seal_runtime.store.run_directory import RunDirectory

SHARED_MEMORY = Path("/dev/shm")
_KNOWN_HIDDEN = {".nonce", ".launch.lock"}


def check_processes(run: RunDirectory) -> Check:
    """No process whose command line names the run directory is alive, this one apart. Without /proc nothing can be said."""
    if not Path("/proc/self/cmdline").exists():
        return check("no process left", "not looked at: this system has no /proc", [])
    found = [f"process {pid} is alive: {line}" for pid, line in _command_lines() if str(run.root) in line and pid != os.getpid()]
    return check("no process left", f"no command line names {run.root.name}", found)


def check_files(run: RunDirectory, scratch_before: frozenset[Path]) -> Check:
    """No temporary file or folder is left in the run directory, in shared memory or in /tmp; the connection file is gone."""
    problems = [f"{path.relative_to(run.root)} is left over" for path in _temporary(run)]
    if run.connection.exists():
        problems.append(f"{run.connection.name} is left over")
    problems += [f"{path} is left over" for path in sorted(scratch_paths() - scratch_before) if run.root.name in path.name]
    return check("no file left", "staging folders, uploads, temporary names, connection file, shared memory, scratch folders", problems)


def check_adapters(run: RunDirectory, topology: Topology, audit: LedgerAudit) -> Check:
    """The store holds the policies' adapters, the others as `run.keep_adapters` says, and each has the bytes of its name."""
    policies = {sha256 for sha256 in audit.policies.values() if sha256}
    trained = {row.result.adapter.sha256 for row in audit.of_stage("adapt") if isinstance(row.result, AdaptResult)}
    wanted = policies | trained if topology.run.keep_adapters == "all" else policies
    held = {path.name for path in run.adapters.iterdir() if path.is_dir() and not path.name.startswith(".")}
    problems = [f"adapter {sha256[:12]} is missing" for sha256 in sorted(wanted - held)]
    problems += [f"adapter {sha256[:12]} should have been deleted" for sha256 in sorted(held - wanted)]
    problems += [f"adapter {sha256[:12]} is damaged" for sha256 in sorted(held & wanted) if not _is_intact(run.adapters / sha256, sha256)]
    for version, sha256 in sorted(audit.policies.items()):
        folder = run.policy(version)
        if not folder.is_dir() or (sha256 and not _is_intact(folder, sha256)):
            problems.append(f"policies/v{version} is missing or damaged")
    return check(
        "adapters as configured", f"run.keep_adapters {topology.run.keep_adapters}: {len(held)} held, {len(policies)} a policy's", problems
    )


def scratch_paths() -> frozenset[Path]:
    """Return what lies where agents keep scratch files: in shared memory, where there is any, and among the temporary files."""
    folders = [folder for folder in {SHARED_MEMORY, Path(tempfile.gettempdir())} if folder.is_dir()]
    return frozenset(path for folder in folders for path in folder.iterdir())


def _temporary(run: RunDirectory) -> Iterator[Path]:
    for folder in (run.root, run.adapters, run.policies):
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") and path.name not in _KNOWN_HIDDEN:
                yield path


def _is_intact(folder: Path, sha256: str) -> bool:
    try:
        return adapter_sha256(folder) == sha256
    except StoreError:
        return False


def _command_lines() -> Iterator[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended meanwhile
        yield int(path.parent.name), line
