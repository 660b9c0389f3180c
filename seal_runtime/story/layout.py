"""How a story stands on the page: headings, indented text that wraps at words, and facts that are never broken in two."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

INDENT = 2
HASH_CHARS = 12


def heading(console: Console, title: str, details: str = "") -> None:
    """Print the heading of a section."""
    console.print()
    body(
        console, Text.assemble((title, "bold cyan"), ("  ", ""), (details, "dim")) if details else Text(title, style="bold cyan"), indent=0
    )


def body(console: Console, text: Text, indent: int = INDENT) -> None:
    """Print text that is wrapped at words and indented; no line ends in white space."""
    for line in text.wrap(console, max(console.width - indent, 1), tab_size=4):
        line.rstrip()
        console.print(Text.assemble(" " * indent, line) if line else "", soft_wrap=True)


def packed(chunks: Iterable[Text], width: int, gap: str = "   ") -> list[Text]:
    """Return lines that hold as many of the chunks as fit; no chunk is broken unless it is longer than a line."""
    lines: list[Text] = []
    for chunk in chunks:
        if lines and lines[-1].cell_len + len(gap) + chunk.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], gap, chunk)
        else:
            lines.append(chunk)
    return lines


def numbered(console: Console, label: str, text: Text) -> None:
    """Print text behind a label, further lines indented as far as the first begins."""
    indent = INDENT + len(label) + 1
    lines = text.wrap(console, max(console.width - indent, 1), tab_size=4)
    for number, line in enumerate(lines):
        line.rstrip()
        before = Text(f"{label:>{indent - 1}} ", style="dim") if number == 0 else Text(" " * indent)
        console.print(Text.assemble(before, line), soft_wrap=True)
