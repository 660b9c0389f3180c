"""The list of all self-edits as HTML: filtered by round, reward and text, sorted, on the page itself.

Without a script the whole list stands there in a scrolling frame. Texts are model output and reach the page escaped.
"""

from collections.abc import Iterable, Sequence

from seal_runtime.report.markup import Markup, element, join
from seal_runtime.report.model import EditLine
from seal_runtime.report.sections import evenly_spaced

MAX_LISTED = 1000
MAX_TEXT_CHARACTERS = 2000
ORDERS = (("run", "as in the run"), ("high", "highest reward first"), ("low", "lowest reward first"))


def edits_table(edits: Sequence[EditLine]) -> Markup:
    """Return the filters and the table. Of very many edits an even selection with the first and the last is listed."""
    if not edits:
        return element("p", "No self-edit has been written yet.", class_="muted")
    shown = evenly_spaced(edits, MAX_LISTED)
    note = f"{len(shown):,} of {len(edits):,} self-edits are listed, evenly spaced; Run.edits() has all of them."
    heads = element("tr", *[element("th", name, scope="col", class_=style or None) for name, style in _HEADS])
    table = element("table", element("thead", heads), element("tbody", *[_row(edit) for edit in shown]), class_="edits", id="edit-list")
    return join(
        [
            _filters(sorted({edit.round for edit in shown})),
            element("p", f"{len(shown):,} self-edits", class_="muted", id="edit-count", role="status"),
            element("div", table, class_="edit-frame", tabindex="0", role="region", aria_label="All self-edits"),
            element("button", "Show more", type="button", id="edit-more", class_="plain", hidden=""),
            *([element("p", note, class_="muted")] if len(shown) < len(edits) else []),
        ]
    )


_HEADS = (("round", "number"), ("reward", "number"), ("passage", ""), ("self-edit", ""))


def _filters(rounds: Iterable[int]) -> Markup:
    """Return the controls; the page's script shows them, as they do nothing without it."""
    numbers = [("", "all")] + [(str(number), str(number)) for number in rounds]
    return element(
        "div",
        _labelled("Round", _choice("edit-round", numbers)),
        _labelled("Reward from", _number("edit-from", "0")),
        _labelled("to", _number("edit-to", "1")),
        _labelled("Text", element("input", type="search", id="edit-text", placeholder="passage or words of the edit", autocomplete="off")),
        _labelled("Order", _choice("edit-order", ORDERS)),
        class_="filters",
        id="edit-filters",
        hidden="",
    )


def _labelled(name: str, control: Markup) -> Markup:
    return element("label", element("span", name), control)


def _choice(name: str, options: Iterable[tuple[str, str]]) -> Markup:
    return element("select", *[element("option", label, value=value) for value, label in options], id=name)


def _number(name: str, value: str) -> Markup:
    return element("input", type="number", id=name, min="0", max="1", step="0.05", value=value)


def _row(edit: EditLine) -> Markup:
    text = edit.text.strip() or "(empty)"
    if len(text) > MAX_TEXT_CHARACTERS:
        text = f"{text[:MAX_TEXT_CHARACTERS]} … ({len(text)} characters)"
    facts = [edit.edit_id.rpartition("/")[2]] + ["learned from"] * edit.chosen
    outcome = {"unparsed": "unparsed", "invalid": "set aside", "missing": "not measured"}.get(edit.state)
    reward = "—" if edit.reward is None else f"{edit.reward:.2f}"
    return element(
        "tr",
        element("td", str(edit.round), class_="number"),
        element("td", reward, *([element("small", outcome)] if outcome else []), class_="number"),
        element("td", edit.title, element("small", " · ".join(facts))),
        element("td", element("details", element("summary", element("span", text)), class_="edit")),
        data_round=str(edit.round),
        data_reward="" if edit.reward is None else f"{edit.reward:.6f}",
    )
