"""The matrices of continual self-edits on a terminal of 80 columns; longer sequences show the means over seen and unseen passages only."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seal_runtime.algorithms.continual import Spread
from seal_runtime.report.continual import continual_notes, percent
from seal_runtime.report.model import ContinualSummary, RunSummary

MAX_COLUMNS = 8
"""Passages whose cells fit beside the label and the two means."""


def render_continual(summary: RunSummary) -> RenderableType | None:
    """Return the matrix of every policy that was measured, None for a run without continual self-edits."""
    if not summary.continual:
        return None
    return Group(*[Padding(_one(item), (1, 0, 0, 0)) for item in summary.continual])


def _one(summary: ContinualSummary) -> RenderableType:
    figures = summary.figures
    shows_cells = figures.length <= MAX_COLUMNS
    heading = f"Passage after passage, {summary.label}: % right after each merged edit"
    table = Table(show_edge=False, pad_edge=False, box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in (*(f"p{column + 1}" for column in range(figures.length if shows_cells else 0)), "seen", "to come"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, cells in enumerate(figures.cells):
        shown = [_cell(cell, learned=column == row - 1) for column, cell in enumerate(cells)] if shows_cells else []
        table.add_row(Text("no edit" if row == 0 else f"edit {row}"), *shown, _mean(figures.seen[row]), _mean(figures.unseen[row]))
    return Group(Text(heading, style="bold"), table, Text("\n".join(continual_notes(summary)), style="dim"))


def _mean(spread: Spread) -> str:
    return percent(spread).replace(" ", "")


def _cell(cell: Spread, *, learned: bool) -> Text:
    return Text("—" if cell.mean is None else f"{100 * cell.mean:.1f}", style="bold green" if learned else "default")
