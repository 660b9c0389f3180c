"""`seal-runtime plan`: predict memory, pace and bottleneck of a topology before any GPU is rented."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_runtime.cli.runs import find_run
from seal_runtime.errors import ConfigError

if TYPE_CHECKING:
    from seal_runtime.bench.gpus import GpuKind
    from seal_runtime.config.topology import Topology

DEFAULT_GPU = "H100"


def plan(
    topology: Annotated[
        Path | None, typer.Argument(help="Topology file (YAML); with --from the run's own may be meant.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, as in trainer.lora.rank=16. Repeatable.", metavar="KEY=VALUE")
    ] = None,
    gpus: Annotated[str, typer.Option(help="Fleet sizes to simulate beside the topology's own.")] = "8,64,1000",
    gpu: Annotated[
        str | None, typer.Option(help=f"Kind of GPU, such as H200, A100 or L4; {DEFAULT_GPU} where the topology has GPUs.")
    ] = None,
    gpu_memory: Annotated[float | None, typer.Option(help="Memory of one GPU in GiB, if not the kind's.", min=1.0)] = None,
    efficiency: Annotated[float, typer.Option(help="Share of the stated peak that matrix products reach.", min=0.01, max=1.0)] = 0.4,
    edits: Annotated[
        Path | None, typer.Option(help="Self-edits to plan for: a JSON list of {title, context, questions, completions}.")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Run whose service times and self-edits count.", metavar="RUN")] = None,
    measured: Annotated[
        list[Path] | None, typer.Option(help="Output of bench inner-loop --json or generation --json. Repeatable.", metavar="FILE")
    ] = None,
    mtbf_hours: Annotated[float, typer.Option(help="Mean time between failures of one GPU; 0: nothing fails.", min=0.0)] = 1000.0,
    slow_share: Annotated[float, typer.Option(help="Share of agents that take twice as long.", min=0.0, max=1.0)] = 0.01,
    controller_rate: Annotated[
        float, typer.Option(help="Results that the controller takes a second (bench controller).", min=1.0)
    ] = 2000.0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict memory a GPU, self-edits an hour, the time of a round and the bottleneck; simulate the run on more GPUs, with failures.

    Service times are taken from a run (--from), then from benchmark files (--measured), then from the roofline of the GPU; the answer says
    which. The simulation lets the controller's own state machine drive simulated agents. Exit code 1 when the memory does not suffice.
    """
    from rich.console import Console

    from seal_runtime.planning.make_plan import make_plan
    from seal_runtime.planning.memory import GIB
    from seal_runtime.planning.request import PlanRequest
    from seal_runtime.planning.table import print_plan

    run_dir = None if from_ is None else find_run(from_).root
    chosen = _topology(topology, run_dir, set_ or [])
    kind = _gpu(chosen, gpu)
    request = PlanRequest(
        title=str(topology) if topology is not None else f"run {chosen.run.name}",
        topology=chosen,
        sizes=_sizes(gpus),
        gpu=kind,
        gpu_bytes=int((gpu_memory or (kind.memory_gib if kind is not None else 0.0)) * GIB),
        efficiency=efficiency,
        edits_file=edits,
        run_dir=run_dir,
        measured=tuple(measured or ()),
        mtbf_hours=mtbf_hours,
        slow_share=slow_share,
        controller_rate=controller_rate,
    )
    outcome = make_plan(request, lambda text: print(text, file=sys.stderr, flush=True))
    if json_:
        print(outcome.to_json())
    else:
        print_plan(outcome, Console())
    raise typer.Exit(0 if outcome.fits else 1)


def _topology(path: Path | None, run_dir: Path | None, overrides: list[str]) -> Topology:
    from seal_runtime.config.loading import load_topology
    from seal_runtime.store.run_directory import RunDirectory

    if path is None and run_dir is None:
        raise ConfigError("expected a topology file, or a run (--from RUN) whose topology is meant, got neither")
    return load_topology(path if path is not None else RunDirectory(run_dir).topology, overrides)  # type: ignore[arg-type]


def _gpu(topology: Topology, name: str | None) -> GpuKind | None:
    from seal_runtime.bench.gpus import gpu_named

    has_gpus = any(section.gpus for section in (topology.proposer, topology.trainer, topology.evaluator))
    return gpu_named(name or DEFAULT_GPU) if name is not None or has_gpus else None


def _sizes(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"--gpus: expected numbers such as 8,64,1000, got {text!r}")
    return tuple(int(part) for part in parts)
