"""Adapters that stay after their examination, where the published server leaves them with --keep_adapter_dir."""

import shutil
from pathlib import Path

import structlog

log = structlog.get_logger()


class KeptAdapters:
    """Copies adapters to `FOLDER/tmp_PORT_inner_TTT_STEP/final_adapter`; STEP counts the requests from 0."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port

    def keep(self, adapter: Path, step: int) -> None:
        """Copy a PEFT directory. A disk that refuses is told in the log; the result does not depend on it."""
        target = self._folder / f"tmp_{self._port}_inner_TTT_{step}" / "final_adapter"
        try:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(adapter, target)
        except OSError as error:
            log.error("adapter_not_kept", target=str(target), reason=str(error))
