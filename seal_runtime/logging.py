"""Structured logs: one JSON line an event in the process's own file, and readable lines on the console when asked for.

Events are nouns and past verbs with fields (`edit_graded`, reward=0.4). role, agent and run are bound once, here; round and job
are bound by whoever knows them. Files are opened in append mode and written one line a write, so a killed process leaves whole lines; they
are rotated by size (`seal_runtime.store.log_file`).
"""

import contextlib
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from seal_runtime.store.log_file import NEVER, LogFile, Rotation

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
Event = MutableMapping[str, Any]


class _LineSink:
    """Gives each event as one JSON line to `write` before the console renders it; a full disk must not stop the work."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._render = structlog.processors.JSONRenderer(sort_keys=False)

    def __call__(self, logger: Any, method: str, event: Event) -> Event:
        rendered = self._render(logger, method, dict(event))
        line = rendered if isinstance(rendered, str) else rendered.decode()
        try:
            self._write(line)
        except OSError as error:
            with contextlib.suppress(OSError):  # stderr may be a file on the same full disk
                print(f"log line lost ({error.strerror}): {line!r}", file=sys.stderr, flush=True)  # noqa: T201
        return event


def _timestamp(logger: Any, method: str, event: Event) -> Event:
    event["time"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    return event


def _drop(logger: Any, method: str, event: Event) -> Event:
    raise structlog.DropEvent


def configure_logging(
    *,
    role: str,
    agent: str,
    run: str,
    log_file: Path | None,
    console: bool,
    level: str = "info",
    rotation: Rotation = NEVER,
    also: Callable[[str], None] | None = None,
) -> None:
    """Set up logging for this process. `log_file` None writes no file; `console` also renders readable lines on stderr.

    `also` gets every JSON line besides: an agent without the run's disk sends them to the controller.
    """
    processors: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _timestamp]
    processors.append(structlog.processors.format_exc_info)
    if log_file is not None:
        processors.append(_LineSink(LogFile(log_file, rotation).write))
    if also is not None:
        processors.append(_LineSink(also))
    processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="time") if console else _drop)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(role=role, agent=agent, run=run)
