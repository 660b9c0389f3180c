"""Which log lines are wanted. Pure: a line is parsed once and matched against one filter."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from seal_runtime.errors import ConfigError
from seal_runtime.logging import LEVELS

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One event of one process: its time (ISO, UTC; "" where the line has none), its text as it stands in the file, and its fields."""

    time: str
    text: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """What a line must be; None asks for nothing. `level` is the lowest level, `since` the earliest time (ISO, UTC)."""

    role: str | None = None
    agent: str | None = None
    job: str | None = None
    round: int | None = None
    level: str | None = None
    event: str | None = None
    since: str | None = None

    def wants(self, line: LogLine) -> bool:
        """Say whether the line is wanted."""
        fields = line.fields
        return (
            (self.role is None or self.role in _names(fields, "role"))
            and (self.agent is None or self.agent in _names(fields, "agent", "process"))
            and self.event in (None, fields.get("event"))
            and (self.level is None or LEVELS.get(str(fields.get("level", "info")), LEVELS["error"]) >= LEVELS[self.level])
            and (self.since is None or line.time >= self.since)
            and (self.job is None or self.job in _jobs(fields))
            and (self.round is None or _round(fields) == self.round)
        )


def parse_line(text: str) -> LogLine:
    """Read a line of a log file; one that is not a JSON object is kept as an event of its own."""
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        fields = {"event": text, "level": "warning"}
    return LogLine(time=str(fields.get("time", "")), text=text, fields=fields)


def parse_level(text: str) -> str:
    """Return a level's name. Raises ConfigError that names the levels."""
    if text.lower() not in LEVELS:
        raise ConfigError(f"expected a level out of {', '.join(LEVELS)}, got {text!r}")
    return text.lower()


def parse_since(text: str, now: datetime) -> str:
    """Return the time that `10m`, `2h`, `1d` ago or an ISO time means, as the logs write times. Raises ConfigError."""
    match = _DURATION.fullmatch(text.strip())
    if match:
        moment = now - timedelta(seconds=float(match[1]) * _UNIT_SECONDS[match[2]])
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise ConfigError(f"expected --since as 90s, 10m, 2h, 1d or a time such as 2025-01-31T12:00, got {text!r}") from error
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _names(fields: dict[str, Any], *keys: str) -> set[str]:
    """Return who a line is of; a process that serves two roles is called `a+b`, and either is meant."""
    whole = [str(fields[key]) for key in keys if key in fields]
    return {*whole, *(part for name in whole for part in name.split("+"))}


def _jobs(fields: dict[str, Any]) -> str:
    return " ".join(str(fields[key]) for key in ("job", "job_id", "job_ids", "study") if key in fields)


def _round(fields: dict[str, Any]) -> int | None:
    if isinstance(fields.get("round"), int):
        return int(fields["round"])
    match = re.search(r"\bround-(\d+)\b", _jobs(fields))
    return int(match[1]) if match else None
