"""What the makers' data sheets say of GPUs. Free of torch."""

from dataclasses import dataclass

from seal_runtime.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuKind:
    """One kind of GPU: the dense bfloat16 peak in TFLOP/s, memory in GiB (what the sheet calls GB), bandwidth in TB/s."""

    name: str
    peak_tflops: float
    memory_gib: float
    bandwidth_tbs: float


GPUS: tuple[GpuKind, ...] = tuple(
    GpuKind(name=name, peak_tflops=peak, memory_gib=memory, bandwidth_tbs=bandwidth)
    for name, peak, memory, bandwidth in (
        ("B200", 2250.0, 180.0, 8.0),
        ("GH200", 989.0, 96.0, 4.0),
        ("H200", 989.0, 141.0, 4.8),
        ("H100 PCIe", 756.0, 80.0, 2.0),
        ("H100 NVL", 835.0, 94.0, 3.9),
        ("H100", 989.0, 80.0, 3.35),
        ("A100", 312.0, 80.0, 2.0),
        ("L40S", 362.0, 48.0, 0.864),
        ("L40", 181.0, 48.0, 0.864),
        ("L4", 121.0, 24.0, 0.3),
        ("A10G", 70.0, 24.0, 0.6),
        ("A10", 125.0, 24.0, 0.6),
        ("RTX 5090", 209.0, 32.0, 1.792),
        ("RTX 4090", 165.0, 24.0, 1.008),
        ("RTX 3090", 71.0, 24.0, 0.936),
    )
)
"""The first whose name is part of a device's name counts."""


def gpu_of_device(device: str) -> GpuKind | None:
    """Return the kind of a device by the name that its driver gives it, None for one that the table does not know."""
    return next((kind for kind in GPUS if kind.name.lower() in device.lower()), None)


def gpu_named(name: str) -> GpuKind:
    """Return a kind by its name. Raises ConfigError."""
    kind = gpu_of_device(name)
    if kind is None:
        raise ConfigError(f"expected one of {', '.join(kind.name for kind in GPUS)}, got {name!r}")
    return kind
