"""Policy versions on disk: `policies/v<N>/` holds the version's own adapter and version.json with its lineage, whole or not at all."""

import json
import os
import shutil
from pathlib import Path

from seal_runtime.controller.commands import KeepPolicy
from seal_runtime.errors import StoreError
from seal_runtime.store.adapters import ADAPTER_FILES, AdapterStore
from seal_runtime.store.run_directory import RunDirectory

VERSION_FILE = "version.json"


def keep_policy(command: KeepPolicy, run: RunDirectory, store: AdapterStore) -> None:
    """Write a policy version durably. One that is there already, with the same adapter, stays. Raises StoreError."""
    target = run.policy(command.version)
    version = {
        "version": command.version,
        "parent": command.parent if command.version else None,
        "round": command.round,
        "adapter_sha256": command.adapter.sha256 if command.adapter else None,
        "rank": command.adapter.rank if command.adapter else None,
        "num_bytes": command.adapter.num_bytes if command.adapter else None,
        "chain": [adapter.sha256 for adapter in command.chain],
    }
    if _read_version(target) == version:
        return
    staging = run.policies / f".v{command.version}.new"
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        if command.adapter is not None:
            for name in ADAPTER_FILES:
                _write_durably(staging / name, (store.path(command.adapter.sha256) / name).read_bytes())
        _write_durably(staging / VERSION_FILE, (json.dumps(version, indent=2) + "\n").encode())
        shutil.rmtree(target, ignore_errors=True)
        os.rename(staging, target)
        _sync_folder(run.policies)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise StoreError(
            f"cannot write policy version {command.version} to {target}: {error.strerror or error}; free disk space, then resume the run"
        ) from error


def restore_policy_adapter(version: int, sha256: str, run: RunDirectory, store: AdapterStore) -> None:
    """Put a policy's adapter back into the store from `policies/`. Raises StoreError when it is not there either."""
    staging = store.staging_dir()
    try:
        staging.mkdir()
        for name in ADAPTER_FILES:
            shutil.copyfile(run.policy(version) / name, staging / name)
        found = store.publish(staging, durable=True).sha256
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise StoreError(f"the adapter {sha256[:12]} of policy version {version} is lost: {error}; begin a new run") from error
    if found != sha256:
        raise StoreError(f"policy version {version} should be adapter {sha256[:12]}, its folder holds {found[:12]}; begin a new run")


def _read_version(folder: Path) -> object:
    try:
        return json.loads((folder / VERSION_FILE).read_bytes())
    except (OSError, ValueError):
        return None


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
