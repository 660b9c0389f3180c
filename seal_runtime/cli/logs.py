"""`seal-runtime logs`: the events of all processes of a run, in one order of time."""

import io
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from seal_runtime.cli.log_files import LogFollower, TimeOrder, merged
from seal_runtime.cli.log_filter import LogFilter, LogLine, parse_level, parse_since
from seal_runtime.cli.log_text import colored, readable
from seal_runtime.cli.runs import RunArgument, find_run

FOLLOW_SECONDS = 0.2


def logs(
    run: Annotated[str | None, RunArgument] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on, until Ctrl-C.")] = False,
    role: Annotated[str | None, typer.Option(help="Only this role: controller, launch, proposer, trainer, evaluator, critic.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent, as in trainer-1.")] = None,
    job: Annotated[str | None, typer.Option(help="Only jobs whose id contains this text.")] = None,
    round_: Annotated[int | None, typer.Option("--round", help="Only this round.", min=0)] = None,
    level: Annotated[str | None, typer.Option(help="This level and above: debug, info, warning, error.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event, as in edit_graded.")] = None,
    since: Annotated[str | None, typer.Option(help="Only what is younger: 90s, 10m, 2h, or a time.")] = None,
    lines: Annotated[int | None, typer.Option("--lines", "-n", help="Only the last so many lines.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they stand in the files, one JSON object each.")] = False,
) -> None:
    """Print the logs of all agents merged in order of time, also of those on other hosts. Rotated files are read with the rest."""
    wanted = LogFilter(
        role=role,
        agent=agent,
        job=job,
        round=round_,
        level=parse_level(level) if level is not None else None,
        event=event,
        since=parse_since(since, datetime.now(UTC)) if since is not None else None,
    )
    folder = find_run(run).logs
    # A terminal that lacks a character shows another in its place; that is no reason to end.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    show = _print_json if as_json else _print_readable if _wants_color() else _print_plain
    if follow:
        _follow(folder, wanted, show, lines)
    else:
        _print_last((line for line in merged(folder) if wanted.wants(line)), show, lines)


def _follow(folder: Path, wanted: LogFilter, show: Callable[[LogLine], None], lines: int | None) -> None:
    """Print what is there and then what comes. Ctrl-C is the way to end it and no error."""
    follower, order = LogFollower(folder), TimeOrder()
    try:
        _print_last((line for line in follower.new_lines() if wanted.wants(line)), show, lines)
        while True:
            now = time.monotonic()
            for line in follower.new_lines():
                if wanted.wants(line):
                    order.add(line, now)
            _print_last(order.ready(now), show, None)
            time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        _print_last(order.rest(), show, None)


def _print_last(found: Iterable[LogLine], show: Callable[[LogLine], None], lines: int | None) -> None:
    for line in found if lines is None else deque(found, maxlen=lines):
        show(line)


def _print_json(line: LogLine) -> None:
    print(line.text, flush=True)


def _print_readable(line: LogLine) -> None:
    print(colored(line), flush=True)


def _print_plain(line: LogLine) -> None:
    print(readable(line), flush=True)


def _wants_color() -> bool:
    """Say whether lines are coloured: on a terminal that can, unless NO_COLOR is set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
