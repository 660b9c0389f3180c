"""Fill the disk of a run and free it again. Only on a file system that was named for it, and only when it is small."""

import errno
import os
import shutil
from pathlib import Path

from seal_runtime.errors import ConfigError

MAX_BYTES = 2 << 30
"""A larger file system is refused: filling it would take long and might hurt somebody else."""
BALLAST_FILE = ".chaos-ballast"
_BLOCK_BYTES = 1 << 20


class Disk:
    """The file system at `folder`. Raises ConfigError when it is not a small one of its own."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir() or not os.path.ismount(folder):
            raise ConfigError(
                f"--full-disk: expected the mount point of a small file system, got {folder}; for example "
                f"`mount -t tmpfs -o size=256m tmpfs {folder}`"
            )
        total = shutil.disk_usage(folder).total
        if total > MAX_BYTES:
            raise ConfigError(f"--full-disk: expected a file system of at most {MAX_BYTES >> 20} MiB, {folder} has {total >> 20}")
        self._ballast = folder / BALLAST_FILE

    def fill(self) -> None:
        """Leave no byte free."""
        for size in (_BLOCK_BYTES, 4096, 1):
            block = bytes(size)
            try:
                with self._ballast.open("ab", buffering=0) as stream:
                    while stream.write(block):
                        pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Give the space back. Harmless when nothing was taken."""
        self._ballast.unlink(missing_ok=True)
