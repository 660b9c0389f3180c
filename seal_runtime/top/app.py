"""The screen of `seal-runtime top`: asks its source once a second in a thread of its own and shows what it says.

Read-only: it sends nothing but status requests. Keys: q quit, s sort, p pause, arrows scroll the agents.
"""

import threading
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from protocol.status import RunStatus
from seal_runtime.top import picture
from seal_runtime.top.source import Reading, Source

EVERY_SECONDS = 1.0
CLOSE_SECONDS = 3.0


class TopApp(App[None]):
    """Shows one run. The source belongs to the reading thread from `on_mount` on, which closes it."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; }
    Static { height: auto; padding: 0 1; }
    #title { text-style: bold; }
    #agents { height: 1fr; min-height: 3; margin-top: 1; }
    #notes { max-height: 8; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "Quit"),
        Binding("s", "sort", "Sort"),
        Binding("p,space", "pause", "Pause"),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
    ]

    def __init__(self, source: Source, *, title: str, every_seconds: float = EVERY_SECONDS) -> None:
        super().__init__()
        self.reading = Reading(status=None, note="")
        self._source = source
        self._title = title
        self._every_seconds = every_seconds
        self._sort_index = 0
        self._is_paused = False
        self._leave = threading.Event()
        self._reader = threading.Thread(target=self._read_on, name="top-reader", daemon=True)

    def compose(self) -> ComposeResult:
        """Lay out the parts, top to bottom."""
        for part in ("title", "head", "speed", "queues", "shares", "verdict", "curves"):
            yield Static(id=part)
        with VerticalScroll(id="agents", can_focus=False):
            yield Static(id="table")
        yield Static(id="notes")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Start to read."""
        self._draw()
        self._reader.start()

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    def on_unmount(self) -> None:
        """Let the reading thread end; one that waits for an answer does so within its time-out, and does not hold up the exit for long."""
        self._leave.set()
        if self._reader.ident is not None:
            self._reader.join(CLOSE_SECONDS)

    def action_sort(self) -> None:
        """Sort the agents by the next key."""
        self._sort_index = (self._sort_index + 1) % len(picture.SORT_KEYS)
        self._draw()

    def action_pause(self) -> None:
        """Hold the picture still, or let it go on."""
        self._is_paused = not self._is_paused
        self._draw()

    def action_scroll(self, lines: int) -> None:
        """Scroll the agents."""
        self.query_one("#agents", VerticalScroll).scroll_relative(y=lines, animate=False)

    def show(self, reading: Reading) -> None:
        """Take a reading; the last status stays while there is none, and all stays while the picture is paused."""
        taken = Reading(status=reading.status or self.reading.status, note=reading.note)
        if not self._is_paused and taken != self.reading:
            self.reading = taken
            self._draw()

    def _read_on(self) -> None:
        """Read until the screen closes (the reading thread)."""
        try:
            while not self._leave.is_set():
                if not self._is_paused:
                    reading = self._source.read()
                    if self._leave.is_set():
                        return
                    self.call_later(self.show, reading)
                self._leave.wait(self._every_seconds)
        finally:
            self._source.close()

    def _draw(self) -> None:
        sort, width = picture.SORT_KEYS[self._sort_index], self.size.width - 2
        status = self.reading.status
        self.query_one("#title", Static).update(Text(f"seal-runtime top · {self._title} · sorted by {sort}", no_wrap=True))
        if status is None:
            self.query_one("#head", Static).update(Text(self.reading.note or "asking the controller", style="yellow"))
            return
        self._draw_status(status, sort, width)

    def _draw_status(self, status: RunStatus, sort: picture.SortKey, width: int) -> None:
        parts = {
            "head": picture.headline(status, is_paused=self._is_paused),
            "speed": picture.speed(status, width),
            "queues": picture.queues(status),
            "shares": picture.shares(status, width),
            "verdict": picture.verdict(status),
            "curves": picture.curves(status),
            "table": picture.agents_table(status, sort, width),
            "notes": picture.notes(status, self.reading.note),
        }
        for name, content in parts.items():
            self.query_one(f"#{name}", Static).update(content)
