"""What this machine can do: its name, the peak that its maker states, the rate that a plain matrix product reaches, and peak memory."""

import platform
import resource
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch

from seal_runtime.bench.gpus import gpu_of_device

ClockName = Literal["wall", "cpu"]
Clock = Callable[[], float]
CLOCKS: Mapping[ClockName, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""`cpu` counts the seconds that all threads of this process computed: for one thread on a machine that others use too."""

_MATRIX_SIZE = {"cuda": 8192, "cpu": 1024}
_MIN_SECONDS = 0.5


def device_name(device: torch.device) -> str:
    """Return the name of the GPU, or of the CPU with its threads."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {torch.get_num_threads()} thread(s)"
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} thread(s)"


def stated_peak_tflops(name: str) -> float | None:
    """Return the stated bfloat16 peak of a GPU in TFLOP/s, None for one that the table does not know."""
    kind = gpu_of_device(name)
    return None if kind is None else kind.peak_tflops


def measured_peak_tflops(device: torch.device, dtype: torch.dtype, clock: Clock) -> float:
    """Return the best rate of a plain square matrix product over half a second, in TFLOP/s."""
    size = _MATRIX_SIZE.get(device.type, 1024)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = left @ right
    best, spent = float("inf"), 0.0
    while spent < _MIN_SECONDS:
        seconds = timed(lambda: torch.mm(left, right, out=out), device, clock)
        best, spent = min(best, seconds), spent + seconds
    return 2.0 * size**3 / best / 1e12


def timed(work: Callable[[], object], device: torch.device, clock: Clock) -> float:
    """Return the seconds that `work` takes on a clock, what it left on the device included."""
    synchronize(device)
    start = clock()
    work()
    synchronize(device)
    return clock() - start


def synchronize(device: torch.device) -> None:
    """Wait for the device; nothing to do on CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new peak: of the device's memory, or of this process's on CPU (Linux; elsewhere the peak is the process's whole life)."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak since the last reset: allocated on the device, resident on CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
