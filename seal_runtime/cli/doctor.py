"""`seal-runtime doctor`: say what this machine can do, what is missing, and what to do about it."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

MARKS = {"ok": ("ok", "green"), "warning": ("!", "yellow"), "failed": ("x", "bold red")}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check Python, packages, devices, bus, disk and the built-in model. Exit code 1 when something must be mended."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from seal_runtime.cli.doctor_checks import examine_machine

    findings = examine_machine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            mark, style = MARKS[finding.state]
            advice = f"\n→ {finding.advice}" if finding.advice else ""
            table.add_row(Text(mark, style=style), Text(finding.name, style="bold"), Text(f"{finding.detail}{advice}"))
        Console(highlight=False).print(table)
    if any(finding.state == "failed" for finding in findings):
        raise typer.Exit(1)
