"""What a plan is asked for."""

from dataclasses import dataclass
from pathlib import Path

from seal_runtime.bench.gpus import GpuKind
from seal_runtime.config.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """A topology, where its figures come from, and what happens to it.

    `gpu` None: nothing has a GPU. `efficiency` is the share of the stated peak; `mtbf_hours` the mean time between failures of one GPU
    (0: none), `slow_share` the share of agents that take twice as long, `controller_rate` results a second.
    """

    title: str
    topology: Topology
    sizes: tuple[int, ...]
    gpu: GpuKind | None
    gpu_bytes: int
    efficiency: float
    edits_file: Path | None
    run_dir: Path | None
    measured: tuple[Path, ...]
    mtbf_hours: float
    slow_share: float
    controller_rate: float
