"""Build HTML and SVG so that everything is escaped unless it was built here.

Invariant: plain `str` content and attribute values are always escaped and freed of control characters; only `Markup`, which only
these functions make, is written as it is. Self-edits are untrusted model output and reach the page as plain `str`.
"""

import html
from collections.abc import Iterable

from seal_runtime.report.plain_text import printable

_VOID = {"br", "line", "rect", "circle", "path", "input"}


class Markup(str):
    """Text that is already HTML."""

    __slots__ = ()


def element(name: str, *children: str | Markup, **attributes: str | float | None) -> Markup:
    """Return an element; `_` in attribute names becomes `-`, a trailing `_` is dropped (`class_`), None leaves the attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"' for key, value in attributes.items() if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str | Markup], separator: str = "") -> Markup:
    """Return the parts as one piece of markup, plain ones escaped."""
    return Markup(separator.join(part if isinstance(part, Markup) else escape(part) for part in parts))


def escape(text: str) -> Markup:
    """Return plain text as HTML."""
    return Markup(html.escape(printable(text), quote=True))


def trusted(text: str) -> Markup:
    """Return a file of this package (style sheet, script) as markup. Never call it with anything that a model or a user wrote."""
    return Markup(text)


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return escape(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")
