"""The end of a run on a terminal: the table, the verdict and the two edits, readable at 80 columns.

Edits and answers are model output: they are shown as plain text, never as rich markup, and without control characters.
"""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from seal_runtime.report.model import EditStory, RunSummary, TableRow, Verdict
from seal_runtime.report.plain_text import printable, short_question
from seal_runtime.report.verdict import format_percent, verdict

MAX_TEXT_CHARACTERS = 1200
MAX_VERDICTS = 12
_STYLES = {
    "baseline": "dim",
    "own": "bold",
    "ceiling": "dim",
    "cpt": "blue",
    "continual": "green",
    "retention": "cyan",
    "control": "magenta",
}
_COUNTS_OTHERWISE = ("retention", "continual")
"""Groups whose note only says what n counts: the documentation and the report say it once."""


def render_table(summary: RunSummary) -> RenderableType:
    """Return the final table. n counts contexts (passages); questions in the rows on known facts, sequences in the continual ones."""
    heading = f"{summary.identity.split.capitalize()} passages: % of questions right without the passage"
    table = Table(title=heading, title_style="bold", title_justify="left", show_edge=False, pad_edge=False, box=None, padding=(0, 2, 0, 0))
    table.add_column("", ratio=1, overflow="fold")
    table.add_column("mean ± s.e.", justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("edits", justify="right", no_wrap=True)
    previous = None
    for row in summary.table:
        if previous is not None and previous != row.group:
            table.add_row("", "", "", "")
        previous = row.group
        table.add_row(*_cells(row), style=_STYLES[row.group])
    return Group(table, *_notes(summary))


def render_verdict(summary: RunSummary) -> RenderableType:
    """Return what the run showed, in one to four sentences."""
    return Padding(Text(printable(verdict(summary))), (1, 0))


def render_best_and_worst(summary: RunSummary) -> RenderableType:
    """Return the best and the worst self-edit of the run with what came of them."""
    if summary.best is None:
        return Text("No self-edit has been scored yet.")
    best = _edit_panel("Best self-edit", summary.best, "green")
    if summary.worst is None:
        return Group(Text(), best)
    equal = [Text("All self-edits have the same reward: two of them.")] if summary.best.reward == summary.worst.reward else []
    return Group(Text(), *equal, best, _edit_panel("Worst self-edit", summary.worst, "red"))


def _cells(row: TableRow) -> tuple[Text, Text, Text, Text]:
    marker = " *" if row.note and row.group not in _COUNTS_OTHERWISE else ""
    return (
        Text(row.label + marker),
        Text(format_percent(row.mean_percent, row.stderr_percent)),
        Text(str(row.num_contexts) if row.num_contexts else "—"),
        Text(str(row.num_edits) if row.num_edits else ""),
    )


def _notes(summary: RunSummary) -> list[RenderableType]:
    notes = [f"* {row.label}: {row.note}" for row in summary.table if row.note and row.group not in _COUNTS_OTHERWISE]
    return [Padding(Text("\n".join(notes), style="dim"), (1, 0, 0, 0))] if notes else []


def _edit_panel(heading: str, story: EditStory, colour: str) -> Panel:
    right = sum(verdict.score for verdict in story.verdicts)
    outcome = f"{right:.3g} of {len(story.verdicts)} questions right" if story.verdicts else "could not be parsed"
    title = Text.assemble((heading, f"bold {colour}"), f"  reward {story.reward:.2f}  (round {story.round}, {outcome})")
    parts: list[RenderableType] = [
        Text(story.title, style="bold"),
        Text(_shortened(story.context), style="dim"),
        Padding(Text(_shortened(story.text) or "(empty)"), (1, 0, 1, 2)),
    ]
    if story.verdicts:
        parts.append(_verdict_table(story.verdicts))
    return Panel(Group(*parts), title=title, title_align="left", border_style=colour, subtitle=Text(story.edit_id, style="dim"))


def _verdict_table(verdicts: tuple[Verdict, ...]) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=3, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold", style="dim")
    for item in verdicts[:MAX_VERDICTS]:
        expected = "" if item.score >= 1 else printable(f"expected {' / '.join(item.gold)}")
        table.add_row(_mark(item.score), Text(short_question(item.prompt)), Text(printable(item.answer) or "(no answer)"), Text(expected))
    left = len(verdicts) - MAX_VERDICTS
    if left > 0:
        table.add_row("", Text(f"and {left} more", style="dim"), "", "")
    return table


def _mark(score: float) -> Text:
    if score >= 1:
        return Text("✓", style="green")
    return Text("✗", style="red") if score <= 0 else Text(f"{score:.2g}", style="yellow")


def _shortened(text: str) -> str:
    text = printable(text).strip()
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[:MAX_TEXT_CHARACTERS]} … ({len(text)} characters)"
