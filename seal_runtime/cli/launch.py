"""`seal-runtime launch` and `resume`: check everything, prepare the run directory, drive the run, print what came out."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_runtime.cli.runs import find_run, short_path
from seal_runtime.errors import ConfigError
from seal_runtime.store.run_directory import RunDirectory

if TYPE_CHECKING:
    from seal_runtime.config.topology import Topology

EXIT_FAILED = 4
EXIT_WORDS = {3: "was stopped", 4: "failed"}


class Control(StrEnum):
    """The controls that can be run beside a topology."""

    random = "random"


def launch(
    topology: Annotated[Path, typer.Argument(help="Topology file (YAML).", show_default=False)],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, as in trainer.lora.rank=16. Repeatable.", metavar="KEY=VALUE")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run and of its directory under runs/.")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Use exactly this folder as the run directory.")] = None,
    seed: Annotated[int | None, typer.Option(help="The run seed; short for --set run.seed=N.", min=0)] = None,
    control: Annotated[Control | None, typer.Option(help="Afterwards run the same with random instead of best edits, and compare.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved topology and the command lines; start nothing.")] = False,
    no_live: Annotated[bool, typer.Option("--no-live", help="Print plain lines instead of the live view.")] = False,
) -> None:
    """Start a run and watch it to its end.

    The exit code is that of the run: 0 finished, 3 stopped, 4 failed, 2 when it could not start.
    """
    resolved = resolve(topology, set_ or [], name=name, run_dir=run_dir, seed=seed)
    check(resolved, require_gpus=not dry_run)
    if dry_run:
        _print_plan(resolved, run_dir)
        return
    from launch.run_setup import new_run_directory

    run = new_run_directory(resolved, name=name, run_dir=run_dir)
    if name is None and run_dir is None and run.root.name != resolved.run.name:
        print(f"{resolved.run.name} exists already; this run is called {run.root.name}")
        resolved = renamed(resolved, run.root.name)
    if control is None:
        raise typer.Exit(execute(resolved, run, no_live=no_live, show=True))
    raise typer.Exit(_with_control(resolved, run, no_live=no_live))


def resume(
    run: Annotated[str, typer.Argument(help="A run directory or the name of a run under runs/.", show_default=False)],
    no_live: Annotated[bool, typer.Option("--no-live", help="Print plain lines instead of the live view.")] = False,
) -> None:
    """Continue a run that was stopped or broke off. What was committed is never done again."""
    from seal_runtime.config.loading import load_resolved
    from seal_runtime.ledger.reader import LedgerReader

    directory = find_run(run)
    resolved = load_resolved(directory.topology)
    if directory.ledger.is_file():
        with LedgerReader(directory.ledger) as ledger:
            if ledger.meta().get("phase") == "done":
                print(f"{short_path(directory.root)} is finished; `seal-runtime report {short_path(directory.root)}` shows what came out")
                return
    check(resolved, require_gpus=True)
    raise typer.Exit(execute(resolved, directory, no_live=no_live, show=True))


def resolve(path: Path, overrides: list[str], *, name: str | None, run_dir: Path | None, seed: int | None) -> Topology:
    """Load a topology with the overrides of the command line. Raises ConfigError."""
    from seal_runtime.config.loading import load_topology

    if name is not None and run_dir is not None:
        raise ConfigError("expected --name or --run-dir, got both; --run-dir already names the folder")
    chosen = name if name is not None else run_dir.resolve().name if run_dir is not None else None
    extra = [] if chosen is None else [f"run.name={json.dumps(chosen)}"]
    extra += [] if seed is None else [f"run.seed={seed}"]
    return load_topology(path, [*overrides, *extra])


def check(topology: Topology, *, require_gpus: bool) -> None:
    """Check a topology against this machine, and its task's data before a run, and print the warnings. Raises ConfigError, DataError."""
    from seal_runtime.config.checks import check_topology
    from seal_runtime.tasks.registry import check_task

    warnings = check_topology(topology, require_gpus=require_gpus)
    for warning in [*warnings, *(check_task(topology) if require_gpus else ())]:
        print(f"warning: {warning}", file=sys.stderr)


def renamed(topology: Topology, name: str) -> Topology:
    """Return the topology of a run of another name."""
    return topology.model_copy(update={"run": topology.run.model_copy(update={"name": name})})


def random_control(topology: Topology) -> Topology:
    """Return the control's topology: the policy learns from random edits, and baselines are not measured a second time."""
    algorithm = topology.algorithm.model_copy(update={"select": "random"})
    evaluation = topology.evaluation.model_copy(update={"baselines": False})
    return renamed(topology, f"{topology.run.name}-control-random").model_copy(update={"algorithm": algorithm, "evaluation": evaluation})


def execute(topology: Topology, run: RunDirectory, *, no_live: bool, show: bool) -> int:
    """Drive a run in its directory to its end, say how it ended and return its exit code. Leaves no process. Raises LaunchError."""
    from rich.console import Console

    from launch.live_view import LiveView
    from launch.observe import RunObserver
    from launch.run_setup import claim, write_topology
    from launch.session import attach_hints, drive, local_backend, local_scaler
    from launch.stop_signals import StopSignals
    from launch.tracking import tracking
    from seal_runtime.config.loading import dump_topology
    from seal_runtime.logging import configure_logging
    from seal_runtime.store.sweep import sweep_dead, sweep_store

    where = short_path(run.root)
    console = Console(highlight=False)
    with claim(run), StopSignals() as signals:
        if not run.topology.exists():
            write_topology(run, dump_topology(topology))
        run.create()
        configure_logging(role="launch", agent="launch", run=topology.run.name, log_file=run.log("launch"), console=False)
        observer = RunObserver(run.connection)
        backend = local_backend(topology, run, observer)
        scaler = local_scaler(topology, run, backend, observer)
        hints = (f"run directory:  {where}", *attach_hints(where))
        with tracking(topology, run), LiveView(console, live=not no_live, hints=hints) as view:
            end = drive(backend, observer, view, signals, startup_seconds=topology.limits.startup_timeout_seconds, scaler=scaler)
        if end.exit_code == 0:
            sweep_store(run, keep_adapters=topology.run.keep_adapters == "all")
        else:
            sweep_dead(run)
    for problem in end.problems:
        print(f"problem: {problem}", file=sys.stderr)
    if end.exit_code in EXIT_WORDS:
        print(f"the run {EXIT_WORDS[end.exit_code]}; what is done is kept: `seal-runtime resume {where}` continues it,")
        print(f"`seal-runtime report {where}` shows what there is")
    elif show and end.exit_code == 0:
        _show(run, None)
    return end.exit_code


def _with_control(topology: Topology, run: RunDirectory, *, no_live: bool) -> int:
    from launch.run_setup import new_run_directory

    control = random_control(topology)
    control_run = new_run_directory(control, name=None, run_dir=run.root.with_name(control.run.name))
    code = EXIT_FAILED
    try:
        code = execute(topology, run, no_live=no_live, show=False)
    finally:
        if code != 0:
            control_run.root.rmdir()
    if code != 0:
        return code
    print("now the control: the same run, learning from random edits")
    code = execute(control, control_run, no_live=no_live, show=False)
    _show(run, control_run if code == 0 else None)
    return code


def _show(run: RunDirectory, control: RunDirectory | None) -> None:
    """Print the table and write report.html; a run that has nothing to report yet says so."""
    from protocol.errors import SealError
    from seal_runtime.cli.report import print_report

    try:
        print_report(run, control)
    except SealError as error:
        print(f"no report: {error}", file=sys.stderr)


def _print_plan(topology: Topology, run_dir: Path | None) -> None:
    import shlex

    from launch.specs import agent_specs, controller_spec
    from seal_runtime.config.loading import dump_topology

    run = RunDirectory(run_dir if run_dir is not None else Path(topology.run.dir) / topology.run.name)
    print(dump_topology(topology), end="")
    for spec in (controller_spec(run.root), *agent_specs(topology, connection=run.connection, log_dir=run.logs)):
        pinned = f"CUDA_VISIBLE_DEVICES={spec.env['CUDA_VISIBLE_DEVICES']} OMP_NUM_THREADS={spec.env['OMP_NUM_THREADS']}"
        print(f"# {spec.name}: {pinned} {shlex.join(spec.argv)}")
