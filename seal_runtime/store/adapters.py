"""The adapter store: PEFT directories known by the SHA-256 of their bytes.

Invariant: a directory under its hash is complete and never changes; it appears by one rename. No torch: files are bytes here.
"""

import json
import os
import shutil
import uuid
from pathlib import Path

from protocol import transfer
from protocol.errors import TransferError
from protocol.jobs import AdapterRef
from protocol.transfer import ADAPTER_FILES, CONFIG_FILE, TENSOR_FILE, is_sha256
from seal_runtime.errors import StoreError
from seal_runtime.store.leftovers import staging_name

__all__ = ["ADAPTER_FILES", "CONFIG_FILE", "TENSOR_FILE", "AdapterStore", "adapter_sha256"]


def adapter_sha256(folder: Path) -> str:
    """Return the SHA-256 that names a PEFT directory. Raises StoreError when a file is missing or unreadable."""
    try:
        return transfer.adapter_sha256(folder)
    except TransferError as error:
        raise StoreError(str(error)) from error


class AdapterStore:
    """A folder of adapters named by hash. Many processes may share one; publishing the same adapter twice is harmless."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where the adapter lies or would lie. Raises StoreError for anything that is not a SHA-256 in hexadecimal."""
        if not is_sha256(sha256):
            raise StoreError(f"expected an adapter's SHA-256 (64 hexadecimal digits), got {sha256[:80]!r}")
        return self.root / sha256

    def has(self, sha256: str) -> bool:
        """Say whether the adapter is here, complete."""
        folder = self.path(sha256)
        return all(os.path.isfile(f"{folder}/{name}") for name in ADAPTER_FILES)

    def staging_dir(self) -> Path:
        """Return a fresh name in the store's own file system for an adapter under construction; the caller creates it."""
        return self.root / staging_name(uuid.uuid4().hex)

    def publish(self, staging: Path, *, durable: bool = False) -> AdapterRef:
        """Move a finished PEFT directory under its hash and return its reference. `durable` syncs it to disk first (policies).

        Raises StoreError when the directory is not a PEFT adapter or the disk refuses.
        """
        return self.adopt(staging, self.inspect(staging, durable=durable), durable=durable)

    def inspect(self, staging: Path, *, durable: bool = False) -> AdapterRef:
        """Hash a finished PEFT directory and return its reference: the long part of `publish`, which leaves no trace in the store.

        Raises StoreError as `publish` does.
        """
        reference = self.describe(staging, adapter_sha256(staging))
        try:
            for name in ADAPTER_FILES if durable else ():
                _sync(staging / name)
        except OSError as error:
            raise StoreError(f"cannot sync adapter {reference.sha256[:12]} to disk: {error.strerror}; is the disk full?") from error
        return reference

    def adopt(self, staging: Path, reference: AdapterRef, *, durable: bool = False) -> AdapterRef:
        """Move an inspected PEFT directory under its hash. Raises StoreError when the disk refuses."""
        sha256 = reference.sha256
        target = self.path(sha256)
        try:
            if self.has(sha256):
                shutil.rmtree(staging)
            else:
                os.rename(staging, target)
            if durable:
                _sync(self.root)
        except OSError as error:
            if not self.has(sha256):
                advice = f"{error.strerror}; is the disk full or read-only?"
                raise StoreError(f"cannot move adapter {sha256[:12]} into {self.root}: {advice}") from error
            shutil.rmtree(staging, ignore_errors=True)
        return reference

    def describe(self, folder: Path, sha256: str) -> AdapterRef:
        """Return the reference of a PEFT directory: rank from its config, bytes of both files."""
        try:
            rank = int(json.loads((folder / CONFIG_FILE).read_bytes())["r"])
            num_bytes = sum((folder / name).stat().st_size for name in ADAPTER_FILES)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{folder / CONFIG_FILE} is not a PEFT adapter config with an integer `r`: {error}") from error
        return AdapterRef(sha256=sha256, rank=rank, num_bytes=num_bytes)

    def remove(self, sha256: str) -> None:
        """Delete an adapter; one that is not here is fine."""
        folder = self.path(sha256)
        try:
            for name in ADAPTER_FILES:
                os.unlink(f"{folder}/{name}")
            os.rmdir(folder)
        except OSError:
            # Half an adapter, or one with other files in it; rmtree alone takes twice as long, and a controller removes thousands.
            shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
