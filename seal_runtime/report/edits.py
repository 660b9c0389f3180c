"""The best and the worst self-edit as HTML. All of it is model output or data and reaches the page escaped."""

from seal_runtime.report.markup import Markup, element
from seal_runtime.report.model import EditStory, RunSummary, Verdict
from seal_runtime.report.plain_text import short_question

MAX_EDIT_CHARACTERS = 20_000


def edits_section(summary: RunSummary) -> Markup:
    """Return both edits side by side."""
    if summary.best is None or summary.worst is None:
        return element("p", "No self-edit has been scored yet.", class_="muted")
    return element(
        "div", _story("Best self-edit", "best", summary.best), _story("Worst self-edit", "worst", summary.worst), class_="stories"
    )


def _story(heading: str, style: str, story: EditStory) -> Markup:
    chosen = ", the policy learned from it" if story.chosen else ""
    text = story.text if len(story.text) <= MAX_EDIT_CHARACTERS else f"{story.text[:MAX_EDIT_CHARACTERS]} … ({len(story.text)} characters)"
    return element(
        "article",
        element("h3", heading, element("span", f"reward {story.reward:.2f}", class_="badge")),
        element("p", f"Round {story.round}{chosen} · ", element("code", story.edit_id), class_="muted"),
        element("details", element("summary", f"Passage: {story.title}"), element("p", story.context)),
        element("pre", text.strip() or "(empty)"),
        _verdicts(story),
        class_=f"card {style}",
    )


def _verdicts(story: EditStory) -> Markup:
    if not story.verdicts:
        return element("p", "It could not be parsed, so nothing was trained on it: the reward is 0.", class_="muted")
    right = sum(verdict.score for verdict in story.verdicts)
    rows = [_verdict_row(verdict) for verdict in story.verdicts]
    title = element("p", f"{right:.3g} of {len(rows)} questions answered right without the passage:", class_="muted")
    return element("div", title, element("table", element("tbody", *rows), class_="verdicts"))


def _verdict_row(verdict: Verdict) -> Markup:
    mark, style = ("✓", "right") if verdict.score >= 1 else ("✗", "wrong") if verdict.score <= 0 else (f"{verdict.score:.2g}", "partly")
    expected = [element("small", f"expected {' / '.join(verdict.gold)}")] if verdict.score < 1 else []
    return element(
        "tr",
        element("td", mark, class_=style),
        element("td", short_question(verdict.prompt)),
        element("td", verdict.answer or "(no answer)", *expected),
    )
