"""Show a run while it goes on: a picture that refreshes itself in a terminal, a plain line now and then elsewhere."""

import re
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from launch.status_panel import render, status_line
from protocol.status import RunStatus

LINE_EVERY_SECONDS = 5.0
MAX_WIDTH = 100
WAITING = "waiting for the controller"
_NUMBER = re.compile(r"\d+")


class LiveView:
    """Draw each status that it is given. It owns the terminal inside the `with` block and starts no thread."""

    def __init__(self, console: Console, *, live: bool, hints: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._hints = hints
        self._clock = clock
        self._live: Live | None = None
        if live and console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)
        self._line_due = 0.0
        self._last_line = ""
        self._told: set[str] = set()
        self._last_status: RunStatus | None = None

    def __enter__(self) -> Self:
        if self._live is None:
            for hint in self._hints:
                self._console.print(Text(hint), soft_wrap=True)
        else:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
        if self._last_status is None:
            return
        if self._live is not None:
            self._console.print(render(self._last_status, self._width()))
        else:
            self._console.print(Text(status_line(self._last_status)), soft_wrap=True)

    def update(self, status: RunStatus | None, problems: Sequence[str] = ()) -> None:
        """Show a status, None while the controller does not answer yet. `problems` are the launcher's own."""
        self._last_status = status or self._last_status
        if self._live is not None:
            self._live.update(self._picture(status, problems), refresh=True)
        elif self._clock() >= self._line_due or any(_kind(problem) not in self._told for problem in problems):
            found = (*(alarm.text for alarm in status.alarms), *status.problems) if status is not None else ()
            self._tell([*found, *problems])
            self._line_due = self._clock() + LINE_EVERY_SECONDS
            line = status_line(status) if status is not None else WAITING
            if line != self._last_line:
                self._console.print(Text(line), soft_wrap=True)
            self._last_line = line

    def _tell(self, problems: Sequence[str]) -> None:
        for problem in problems:
            if _kind(problem) not in self._told:
                self._console.print(Text(f"! {problem}"), soft_wrap=True)
                self._told.add(_kind(problem))

    def _picture(self, status: RunStatus | None, problems: Sequence[str] = ()) -> RenderableType:
        shown = status or self._last_status
        parts: list[RenderableType] = [] if shown is None else [render(shown, self._width(), self._console.height - len(self._hints))]
        if status is None:
            parts.append(Text(WAITING, style="yellow"))
        parts += [Text(f"! {problem}", style="yellow") for problem in problems]
        parts += [Text(hint, style="dim") for hint in self._hints]
        return Group(*parts)

    def _width(self) -> int:
        return min(MAX_WIDTH, self._console.width)


def _kind(problem: str) -> str:
    """Return what makes a problem the same one: its text without its counts, which go on growing."""
    return _NUMBER.sub("#", problem)
