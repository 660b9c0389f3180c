"""`seal-runtime chaos`: run a topology while its processes are killed, stopped and cut off, then prove that nothing came of it."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_runtime.cli.launch import check, execute, renamed, resolve
from seal_runtime.cli.runs import find_run, short_path
from seal_runtime.errors import ConfigError, LaunchError
from seal_runtime.store.run_directory import RunDirectory

if TYPE_CHECKING:
    from seal_runtime.chaos.conductor import ChaosRun
    from seal_runtime.chaos.disk import Disk
    from seal_runtime.chaos.report import ChaosReport
    from seal_runtime.chaos.schedule import Kind
    from seal_runtime.config.topology import Topology
    from seal_runtime.controller.plan import Plan

EXIT_CHECKS_FAILED = 1
DEFAULT_KINDS = "kill,stop,term,drop,delay,power"


def chaos(
    topology: Annotated[Path, typer.Argument(help="Topology file (YAML).", show_default=False)],
    kills: Annotated[int, typer.Option(help="How many disturbances, spread over the run.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the disturbances; the run's own is --set run.seed=N.", min=0)] = 0,
    kinds: Annotated[str, typer.Option(help="Kinds, separated by commas: kill, stop, term, drop, delay, power.")] = DEFAULT_KINDS,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key. Repeatable.", metavar="KEY=VALUE")] = None,
    calm: Annotated[str | None, typer.Option(help="Compare with this finished run instead of making a calm one.", metavar="RUN")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Use exactly this folder; the calm run gets `-calm` behind its name.")] = None,
    full_disk: Annotated[
        Path | None, typer.Option(help="Mount point of a small file system: the run goes there and its disk is filled, too.")
    ] = None,
    stall_seconds: Annotated[float, typer.Option(help="Fail when nothing was committed for so long.", min=1.0)] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Run a topology under fire and verify that no reward was lost, doubled or changed.

    The exit code is 0 when every check passed, 1 when one failed, 2 when the run could not start.
    """
    from rich.console import Console

    from seal_runtime.chaos.disk import Disk
    from seal_runtime.chaos.report import render_report
    from seal_runtime.chaos.schedule import parse_kinds

    chosen = parse_kinds(kinds)
    disk = Disk(full_disk) if full_disk is not None else None
    resolved = resolve(topology, set_ or [], name=None, run_dir=None, seed=None)
    _refuse_impossible(resolved, chosen, disk)
    check(resolved, require_gpus=True)
    with redirect_stdout(sys.stderr):
        report = _examine(resolved, seed, kills, chosen, calm, run_dir=run_dir, disk=disk, full_disk=full_disk, stall_seconds=stall_seconds)
    if as_json:
        print(report.to_json())
    else:
        Console(highlight=False).print(render_report(report))
        print(f"journal: {short_path(Path(report.run_dir))}/chaos.jsonl")
    raise typer.Exit(0 if report.passed else EXIT_CHECKS_FAILED)


def _examine(
    topology: Topology,
    seed: int,
    num_injections: int,
    kinds: tuple[Kind, ...],
    calm: str | None,
    *,
    run_dir: Path | None,
    disk: Disk | None,
    full_disk: Path | None,
    stall_seconds: float,
) -> ChaosReport:
    from seal_runtime.chaos.comparison import measure_cost
    from seal_runtime.chaos.conductor import hardened
    from seal_runtime.chaos.ledger_audit import read_audit
    from seal_runtime.chaos.leftovers import scratch_paths
    from seal_runtime.chaos.report import ChaosReport
    from seal_runtime.chaos.verification import verify_run
    from seal_runtime.controller.plan import make_plan
    from seal_runtime.tasks.registry import make_task

    task = make_task(topology.task)
    plan = make_plan(topology, task)
    named = _named_calm_run(topology, calm) if calm is not None else None
    disturbed, run = _new_run(hardened(topology, num_injections, fills_disk=disk is not None), "chaos", run_dir, full_disk)
    calm_run = named if named is not None else _make_calm_run(topology, run)
    scratch_before = scratch_paths()
    outcome = _disturb(disturbed, run, plan, seed, num_injections, kinds, disk, stall_seconds)
    audit, calm_audit = read_audit(run.ledger), read_audit(calm_run.ledger)
    checks = verify_run(run, audit, disturbed, plan, task, exit_code=outcome.exit_code, scratch_before=scratch_before, calm=calm_audit)
    return ChaosReport(
        run_dir=str(run.root),
        calm_dir=str(calm_run.root),
        seed=seed,
        num_asked=num_injections,
        run=outcome,
        cost=measure_cost(run.root, audit, calm_run.root, calm_audit),
        checks=tuple(checks),
        not_done=() if disk is not None else ("a full disk (it needs --full-disk MOUNTPOINT, a small file system of its own)",),
        changes=_changes(topology, disturbed),
    )


def _disturb(
    topology: Topology,
    run: RunDirectory,
    plan: Plan,
    seed: int,
    num_injections: int,
    kinds: tuple[Kind, ...],
    disk: Disk | None,
    stall_seconds: float,
) -> ChaosRun:
    from rich.console import Console

    from launch.live_view import LiveView
    from seal_runtime.chaos.conductor import Conductor, process_names
    from seal_runtime.chaos.schedule import make_schedule

    schedule = make_schedule(
        seed=seed,
        num_injections=num_injections,
        kinds=(*(kind for kind in kinds if kind != "disk"), *(("disk",) if disk is not None else ())),
        agents=process_names(topology, run),
        agent_timeout_seconds=topology.bus.agent_timeout_seconds,
    )
    hints = (f"run directory:  {short_path(run.root)}", f"disturbances:   {len(schedule)}, seed {seed}")
    with LiveView(Console(stderr=True, highlight=False), live=True, hints=hints) as view:
        return Conductor(topology, run, plan, stall_seconds=stall_seconds, disk=disk).play(schedule, view)


def _refuse_impossible(topology: Topology, kinds: tuple[Kind, ...], disk: Disk | None) -> None:
    """Raise ConfigError for kinds that cannot be made here: the agents always go through the proxy, which speaks TCP."""
    from seal_runtime.chaos.proxy import host_and_port

    host_and_port(topology.bus.bind)
    if "disk" in kinds and disk is None:
        raise ConfigError("--kinds disk: expected --full-disk MOUNTPOINT, a small file system of its own that may be filled")


def _named_calm_run(topology: Topology, calm: str) -> RunDirectory:
    """Return the finished run to compare with. Raises ConfigError when it is another topology's, LaunchError when it is not done."""
    from seal_runtime.chaos.comparison import refuse_incomparable
    from seal_runtime.config.loading import load_resolved
    from seal_runtime.ledger.reader import LedgerReader

    run = find_run(calm)
    refuse_incomparable(topology, load_resolved(run.topology))
    with LedgerReader(run.ledger) as ledger:
        phase = ledger.meta().get("phase", "none")
    if phase != "done":
        raise LaunchError(f"--calm: expected a finished run, {short_path(run.root)} is {phase}; `seal-runtime resume` finishes it")
    return run


def _make_calm_run(topology: Topology, chaos_run: RunDirectory) -> RunDirectory:
    calm_topology, run = _new_run(topology, "calm", chaos_run.root.with_name(f"{chaos_run.root.name}-calm"), None)
    code = execute(calm_topology, run, no_live=True, show=False)
    if code != 0:
        raise LaunchError(f"the calm run in {run.root} ended with exit code {code}; there is nothing to compare with")
    return run


def _new_run(topology: Topology, suffix: str, run_dir: Path | None, full_disk: Path | None) -> tuple[Topology, RunDirectory]:
    from launch.run_setup import new_run_directory

    named = renamed(topology, f"{topology.run.name}-{suffix}")
    if full_disk is not None:
        named = named.model_copy(update={"run": named.run.model_copy(update={"dir": str(full_disk)})})
    run = new_run_directory(named, name=None, run_dir=run_dir)
    return renamed(named, run.root.name), run


def _changes(topology: Topology, disturbed: Topology) -> tuple[str, ...]:
    ours, theirs = topology.limits.model_dump(), disturbed.limits.model_dump()
    return tuple(f"limits.{key} {ours[key]} -> {theirs[key]}" for key in ours if ours[key] != theirs[key])
