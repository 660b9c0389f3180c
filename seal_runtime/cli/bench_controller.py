"""`seal-runtime bench controller`: how many agents and jobs the controller can serve on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def controller(
    agents: Annotated[int, typer.Option(help="Simulated agents.", min=4)] = 1000,
    jobs: Annotated[int, typer.Option(help="Jobs, about; a tenth of them is run first, for comparison.", min=100)] = 100_000,
    capacity: Annotated[int, typer.Option(help="Jobs that an agent holds at once.", min=1)] = 1,
    job_seconds: Annotated[
        float, typer.Option(help="What a job takes an agent; 0 asks for all that the controller can do.", min=0.0)
    ] = 0.0,
    processes: Annotated[
        int | None, typer.Option(help="Processes that host the agents; one for each other core if not given.", min=1)
    ] = None,
    curve: Annotated[bool, typer.Option("--curve/--no-curve", help="Encrypt and authenticate, as runs do.")] = True,
    keep: Annotated[Path | None, typer.Option(help="Keep the run directories in this folder.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let simulated agents do a run's jobs for a real controller over real sockets; print its rate, latency, memory and ledger."""
    from seal_runtime.bench.controller import run_controller_bench
    from seal_runtime.bench.controller_load import ControllerLoad
    from seal_runtime.bench.controller_results import format_controller

    load = ControllerLoad(num_agents=agents, num_jobs=jobs, capacity=capacity, job_seconds=job_seconds, curve=curve)
    num_processes = min(agents, processes or max(1, (os.cpu_count() or 2) - 1))
    result = run_controller_bench(
        load, num_processes=num_processes, folder=keep, tell=lambda text: print(text, file=sys.stderr, flush=True)
    )
    print(result.to_json() if json_ else format_controller(result))
