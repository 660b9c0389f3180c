"""`seal-runtime report`: the table of a run, and report.html."""

from pathlib import Path
from typing import Annotated

import typer

from seal_runtime.cli.runs import RunArgument, find_run, short_path
from seal_runtime.store.run_directory import RunDirectory


def report(
    run: Annotated[str | None, RunArgument] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON instead of a table.")] = False,
    control: Annotated[str | None, typer.Option(help="A run with random edits to compare with.", metavar="RUN")] = None,
) -> None:
    """Print what a run achieved, with standard errors, and write report.html and report.json into its directory."""
    from seal_runtime.report.html import write_report
    from seal_runtime.report.summary import summarise_run

    directory = find_run(run)
    other = find_run(control) if control is not None else default_control(directory)
    if not as_json:
        print_report(directory, other)
        return
    summary = summarise_run(directory.root, control=other.root if other is not None else None)
    write_report(summary, directory)
    print(summary.to_json())


def default_control(run: RunDirectory) -> RunDirectory | None:
    """Return the control that `launch --control random` made for this run, if there is one with a ledger."""
    control = RunDirectory(run.root.with_name(f"{run.root.name}-control-random"))
    return control if control.ledger.is_file() else None


def print_report(run: RunDirectory, control: RunDirectory | None) -> None:
    """Print table, best and worst edit and verdict; write report.html and report.json. Raises SealError when there is nothing to report."""
    from rich.console import Console

    from seal_runtime.report.continual_table import render_continual
    from seal_runtime.report.html import write_report
    from seal_runtime.report.summary import summarise_run
    from seal_runtime.report.table import render_best_and_worst, render_table, render_verdict

    summary = summarise_run(run.root, control=control.root if control is not None else None)
    console = Console(highlight=False)
    for part in (render_table(summary), render_continual(summary), render_best_and_worst(summary), render_verdict(summary)):
        if part is not None:
            console.print(part)
    write_report(summary, run)
    console.print(f"report: {short_path(Path(run.report_html))}", markup=False, soft_wrap=True)
