"""`seal-runtime status` and `stop`: ask the controller of a run, or the ledger when no controller answers."""

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from protocol.status import RunStatus
from seal_runtime.cli.runs import RunArgument, find_run, short_path
from seal_runtime.errors import LaunchError
from seal_runtime.store.run_directory import RunDirectory

LIVE_TIMEOUT_SECONDS = 3.0
STOP_TIMEOUT_SECONDS = 30.0


def status(
    run: Annotated[str | None, RunArgument] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Show how a run stands: live from its controller, otherwise from its ledger."""
    directory = find_run(run)
    found, source = current_status(directory)
    if as_json:
        pid = _controller_pid(directory) if source == "bus" else None
        where = {"run_dir": str(directory.root), "source": source, "controller_pid": pid}
        print(json.dumps(where | asdict(found), indent=2))
        return
    from rich.console import Console

    from launch.status_panel import render

    console = Console(highlight=False)
    console.print(render(found, min(100, console.width)))
    if source == "ledger":
        console.print(f"no controller answers; this is what the ledger of {short_path(directory.root)} holds", markup=False, soft_wrap=True)


def current_status(run: RunDirectory) -> tuple[RunStatus, str]:
    """Return the status and where it comes from: `bus` or `ledger`. Raises LedgerError when there is neither."""
    from launch.observe import RunObserver
    from seal_runtime.cli.ledger_status import status_from_ledger

    observer = RunObserver(run.connection)
    try:
        live = observer.status(LIVE_TIMEOUT_SECONDS)
    finally:
        observer.close()
    return (live, "bus") if live is not None else (status_from_ledger(run), "ledger")


def _controller_pid(run: RunDirectory) -> int | None:
    """Return the process of the controller that answers; None when it has just ended."""
    from protocol.errors import ChannelError
    from protocol.security import read_connection_file

    try:
        return read_connection_file(run.connection).controller_pid
    except ChannelError:
        return None


def stop(
    run: Annotated[str | None, RunArgument] = None,
) -> None:
    """End a run now. What is committed is kept; `seal-runtime resume` continues it."""
    from launch.observe import RunObserver

    directory = find_run(run)
    observer = RunObserver(directory.connection)
    try:
        taken = observer.ask_to_stop("seal-runtime stop")
    finally:
        observer.close()
    if not taken:
        raise LaunchError(f"no controller answers in {short_path(directory.root)}: the run is not going on, so there is nothing to stop")
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while directory.connection.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    if directory.connection.exists():
        raise LaunchError(f"the controller took the request but did not end within {STOP_TIMEOUT_SECONDS:.0f} s; see {directory.logs}")
    print(f"{short_path(directory.root)} is stopped; `seal-runtime resume {short_path(directory.root)}` continues it")
