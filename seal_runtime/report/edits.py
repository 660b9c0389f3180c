"""The best, the worst and the most changed self-edits as HTML. All of it is model output or data and reaches the page escaped."""

from seal_runtime.report.markup import Markup, element, join
from seal_runtime.report.model import EditChange, EditStory, RunSummary, Verdict
from seal_runtime.report.plain_text import short_question

MAX_EDIT_CHARACTERS = 20_000


def edits_section(summary: RunSummary) -> Markup:
    """Return the best and the worst edit side by side, and below them the passage whose edits changed most."""
    best, worst, changed = summary.best, summary.worst, summary.most_changed
    if best is None:
        return element("p", "No self-edit has been scored yet.", class_="muted")
    notes = []
    if worst is None:
        notes = [element("p", "One self-edit has been scored.", class_="muted")]
    elif best.reward == worst.reward:
        notes = [element("p", f"All self-edits have the same reward, {best.reward:.2f}: two of them.", class_="muted")]
    cards = [_story("Best self-edit", "best", best)] + ([_story("Worst self-edit", "worst", worst)] if worst is not None else [])
    return join([*notes, element("div", *cards, class_="stories"), *([_changed(changed)] if changed is not None else [])])


def _changed(change: EditChange) -> Markup:
    points = 100 * (change.score_after - change.score_before)
    figures = f"{100 * change.score_before:.1f} → {100 * change.score_after:.1f} % ({points:+.1f} points)"
    if change.between == "rounds":
        meaning = f"the mean reward of its self-edits went {figures} between two rounds. Each side shows the edit nearest to its mean."
    else:
        meaning = f"its questions went {figures} from the answers without any edit to those after one self-edit."
    return join(
        [
            element("h3", "Most changed", class_="apart"),
            element("p", f"Of all passages, {change.after.title} changed most: {meaning}", class_="muted"),
            element(
                "div",
                _story(change.label_before, "before", change.before, with_text=change.between == "rounds"),
                _story(change.label_after, "after", change.after),
                class_="stories",
            ),
        ]
    )


def _story(heading: str, style: str, story: EditStory, *, with_text: bool = True) -> Markup:
    learned = ", the policy learned from it" if story.chosen else ""
    place = f"Round {story.round}{learned} · " if story.round and heading != f"Round {story.round}" else ""
    text = story.text if len(story.text) <= MAX_EDIT_CHARACTERS else f"{story.text[:MAX_EDIT_CHARACTERS]} … ({len(story.text)} characters)"
    return element(
        "article",
        element("h3", heading, element("span", f"reward {story.reward:.2f}", class_="badge")),
        element("p", place, element("code", story.edit_id), class_="muted"),
        element("details", element("summary", f"Passage: {story.title}"), element("p", story.context)),
        *([element("pre", text.strip() or "(empty)", tabindex="0")] if with_text else []),
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
    spoken = {"right": "right", "wrong": "wrong"}.get(style, f"{verdict.score:.2g} right")
    expected = [element("small", f"expected {' / '.join(verdict.gold)}")] if verdict.score < 1 else []
    return element(
        "tr",
        element("td", element("span", mark, role="img", aria_label=spoken), class_=style),
        element("td", short_question(verdict.prompt)),
        element("td", verdict.answer or "(no answer)", *expected),
    )
