"""Show a run while it goes on: a picture that refreshes itself in a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from launch.status_panel import render, status_line
from protocol.messages import RunStatus

LINE_EVERY_SECONDS = 5.0


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
        if self._last_status is not None:
            self._console.print(
                self._picture(self._last_status) if self._live is not None else Text(status_line(self._last_status)), soft_wrap=True
            )

    def update(self, status: RunStatus | None, problems: Sequence[str] = ()) -> None:
        """Show a status, None while the controller does not answer yet. `problems` are the launcher's own."""
        self._last_status = status or self._last_status
        if self._live is not None:
            self._live.update(self._picture(status, problems), refresh=True)
        elif self._clock() >= self._line_due:
            self._line_due = self._clock() + LINE_EVERY_SECONDS
            line = status_line(status) if status is not None else "waiting for the controller"
            if line != self._last_line:
                self._console.print(Text(line), soft_wrap=True)
            self._last_line = line

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(Text(text), soft_wrap=True)

    def _picture(self, status: RunStatus | None, problems: Sequence[str] = ()) -> RenderableType:
        width = min(100, self._console.width)
        parts: list[RenderableType] = [
            Text("starting the controller …", style="yellow")
            if status is None
            else render(status, width, self._console.height - len(self._hints))
        ]
        parts += [Text(f"! {problem}", style="yellow") for problem in problems]
        parts += [Text(hint, style="dim") for hint in self._hints]
        return Group(*parts)
