"""A log line for people: local time, level, agent, event, then the other fields; in colours where the terminal has them.

A time of another day has its date.
"""

import zlib
from datetime import date, datetime
from typing import Any

import typer

from seal_runtime.cli.log_filter import LogLine

SHOWN_FIRST = ("time", "level", "event", "agent", "role", "run")
"""Fields with a place of their own in a line, or left out of it."""
LEVEL_COLORS = {"debug": "bright_black", "info": "green", "warning": "yellow", "error": "red"}
AGENT_COLORS = ("cyan", "magenta", "blue", "bright_cyan", "bright_magenta", "bright_blue")


def readable(line: LogLine) -> str:
    """Return a line without colours."""
    time, level, name, event, rest = _parts(line)
    return f"{time} {level:<7} {name:<12} {event} {rest}".rstrip()


def colored(line: LogLine) -> str:
    """Return a line in colours: the level by its weight, each agent in a colour of its own (by its name), what went wrong as a whole."""
    time, level, name, event, rest = _parts(line)
    color = LEVEL_COLORS.get(level)
    if level in ("debug", "warning", "error"):
        return typer.style(readable(line), fg=color, bold=level == "error")
    agent = typer.style(f"{name:<12}", fg=AGENT_COLORS[zlib.crc32(name.encode()) % len(AGENT_COLORS)])
    head = f"{typer.style(time, dim=True)} {typer.style(f'{level:<7}', fg=color)} {agent} {typer.style(event, bold=True)}"
    return f"{head} {typer.style(rest, dim=True)}" if rest else head


def _parts(line: LogLine) -> tuple[str, str, str, str, str]:
    """Return time, level, agent, event and the other fields, all without control characters."""
    fields = line.fields
    name = str(fields.get("agent") or fields.get("role") or "-")
    rest = " ".join(f"{_safe(key)}={_value(value)}" for key, value in fields.items() if key not in SHOWN_FIRST)
    time = clock_time(line.time, date.today())
    return time, _safe(str(fields.get("level", "info"))), _safe(name), _safe(str(fields.get("event", ""))), rest


def clock_time(text: str, today: date) -> str:
    """Return the local time of an ISO time, with its date unless that is `today`: a run may go on for days."""
    try:
        moment = datetime.fromisoformat(text).astimezone()
    except ValueError:
        return "--:--:--.---"
    return moment.strftime("%H:%M:%S.%f" if moment.date() == today else "%Y-%m-%d %H:%M:%S.%f")[:-3]


def _safe(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if text and text.isprintable() and " " not in text else repr(text)
