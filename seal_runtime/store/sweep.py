"""Tidy a run directory: what killed agents left, and in a run that is done everything that is no policy's.

The controller sweeps at its own start and end; the launcher once more when every process is gone, because an agent that was stopped or cut
off meanwhile may have woken up later and published, or been killed on its way out. Folders of live agents stay (`store.leftovers`).
"""

import json
import shutil
from pathlib import Path

from seal_runtime.store.leftovers import STAGING_PREFIX, sweep_scratch, sweep_staging
from seal_runtime.store.run_directory import RunDirectory

_VERSION_FILE = "version.json"


def sweep_dead(run: RunDirectory) -> int:
    """Delete unfinished adapters and scratch folders of dead agents; return how many went."""
    return sweep_staging(run.adapters) + sweep_scratch()


def sweep_store(run: RunDirectory, *, keep_adapters: bool) -> int:
    """Tidy a run that is done: no half-made folders and, unless `keep_adapters`, no adapters but the policies'; return how many went."""
    policies = {_adapter_of(folder) for folder in run.policies.glob("v*")}
    num_swept = sweep_dead(run)
    for folder in list(run.adapters.iterdir()):
        is_temporary = folder.name.startswith(".")
        if not folder.is_dir() or folder.name.startswith(STAGING_PREFIX):
            continue
        if is_temporary or not (keep_adapters or folder.name in policies):
            shutil.rmtree(folder, ignore_errors=True)
            num_swept += 1
    return num_swept


def _adapter_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / _VERSION_FILE).read_bytes())["adapter_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
