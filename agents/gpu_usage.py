"""How much of the time this process's GPUs work, through nvidia-ml-py where it is installed. Nothing is loaded on a machine without GPUs.

The share is that of the devices, whoever uses them.
"""

import os
import time

import structlog

from agents.environment import gpu_memory_bytes

log = structlog.get_logger()

READ_EVERY_SECONDS = 2.0


class GpuUsage:
    """Reads now and then; between two readings it repeats the last one, so that asking is free."""

    def __init__(self) -> None:
        self._share: float | None = None
        self._read_due = 0.0
        self._is_off = False

    def busy_share(self) -> float | None:
        """Return the mean share in [0, 1] over the visible GPUs, None while this process uses none or nobody can tell."""
        now = time.monotonic()
        if not self._is_off and now >= self._read_due and gpu_memory_bytes():
            self._read_due = now + READ_EVERY_SECONDS
            self._share = self._read(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        return self._share

    def _read(self, visible: str) -> float | None:
        try:
            import pynvml

            pynvml.nvmlInit()
            names = [name.strip() for name in visible.split(",") if name.strip()] or [str(i) for i in range(pynvml.nvmlDeviceGetCount())]
            handles = [pynvml.nvmlDeviceGetHandleByIndex(int(n)) if n.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(n) for n in names]
            used = [pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in handles]
        except Exception as error:
            self._is_off = True
            log.debug("gpu_usage_unknown", reason=f"{type(error).__name__}: {error}")
            return None
        return sum(used) / (100.0 * len(used)) if used else None
