"""`seal-runtime logs`: the events of all processes of a run, in one order of time."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from seal_runtime.cli.log_files import LogFollower, merged
from seal_runtime.cli.log_filter import LogFilter, LogLine, parse_level, parse_since
from seal_runtime.cli.runs import RunArgument, find_run

FOLLOW_SECONDS = 0.2
SHOWN_FIRST = ("time", "level", "event", "agent", "role", "run")
"""Fields with a place of their own in a line for people, or left out of it."""
LEVEL_COLORS = {"debug": "bright_black", "warning": "yellow", "error": "red"}


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
    """Print the logs of all agents merged in order of time."""
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
    show = _print_json if as_json else _print_readable
    if follow:
        _follow(folder, wanted, show, lines)
    else:
        _print_last((line for line in merged(folder) if wanted.wants(line)), show, lines)


def readable(line: LogLine) -> str:
    """Return a line for people: local time, level, agent, event, then the other fields."""
    fields = line.fields
    name = fields.get("agent") or fields.get("role") or "-"
    rest = " ".join(f"{key}={_value(value)}" for key, value in fields.items() if key not in SHOWN_FIRST)
    return f"{_clock_time(line.time)} {fields.get('level', 'info')!s:<7} {name:<12} {fields.get('event', '')} {rest}".rstrip()


def _follow(folder: Path, wanted: LogFilter, show: Callable[[LogLine], None], lines: int | None) -> None:
    """Print what is there and then what comes. Ctrl-C is the way to end it and no error."""
    follower = LogFollower(folder)
    first = True
    try:
        while True:
            new = [line for line in follower.new_lines() if wanted.wants(line)]
            _print_last(new, show, lines if first else None)
            first = False
            time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        return


def _print_last(found: Iterable[LogLine], show: Callable[[LogLine], None], lines: int | None) -> None:
    for line in found if lines is None else deque(found, maxlen=lines):
        show(line)


def _print_json(line: LogLine) -> None:
    print(line.text, flush=True)


def _print_readable(line: LogLine) -> None:
    color = LEVEL_COLORS.get(str(line.fields.get("level", "")))
    typer.echo(typer.style(readable(line), fg=color) if color else readable(line))


def _clock_time(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return "--:--:--.---"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if text and text.isprintable() and " " not in text else repr(text)
