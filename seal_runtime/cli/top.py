"""`seal-runtime top`: watch a run on the whole screen. Textual is loaded inside the command only."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from protocol.status import RunStatus
from seal_runtime.cli.runs import RunArgument, find_run, short_path
from seal_runtime.errors import ConfigError, LaunchError


def top(
    run: Annotated[str | None, RunArgument] = None,
    connect: Annotated[
        Path | None, typer.Option("--connect", "--connection", help="Connection file of a run on another host, copied from there.")
    ] = None,
) -> None:
    """Watch a run: speed, bottleneck, agents, learning curve, alarms. Changes nothing; q quits, s sorts, p pauses."""
    if run is not None and connect is not None:
        raise ConfigError("expected a run or --connect, got both")
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise ConfigError("expected a terminal, because top draws on the whole screen; `seal-runtime status` prints once")
    from seal_runtime.top.app import TopApp
    from seal_runtime.top.source import RunSource

    if connect is not None:
        if not connect.is_file():
            raise LaunchError(f"there is no connection file at {connect}; copy connection.json out of the run directory on the run's host")
        source, title = RunSource(connect, None), str(connect)
    else:
        directory = find_run(run)

        def from_ledger() -> RunStatus:
            from seal_runtime.cli.ledger_status import status_from_ledger

            return status_from_ledger(directory)

        source, title = RunSource(directory.connection, from_ledger), short_path(directory.root)
    TopApp(source, title=title).run(mouse=False)
