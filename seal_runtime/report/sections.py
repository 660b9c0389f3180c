"""The sections of the HTML report that show figures: headline tiles, curve, tables, rewards, lineage."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from protocol.status import Alarm
from seal_runtime.report.curve import curve_series, learning_curve, reference_rows
from seal_runtime.report.histogram import reward_histogram
from seal_runtime.report.markup import Markup, element, join
from seal_runtime.report.model import PolicyStep, RoundSummary, RunSummary, TableRow
from seal_runtime.report.plain_text import format_bytes, format_duration
from seal_runtime.report.verdict import format_gain, format_p, format_percent

Item = TypeVar("Item")
MAX_HISTOGRAMS = 12
MAX_POLICIES = 48


def tiles(summary: RunSummary) -> Markup:
    """Return the headline figures."""
    boxes = []
    gain = summary.gain
    if gain is not None:
        before, after = summary.row(f"heldout-v{gain.first_version}"), summary.row(f"heldout-v{gain.last_version}")
        arrow = f"{_mean(before)} → {_mean(after)} %"
        boxes.append(_tile("Held-out accuracy", arrow, f"untrained → round {gain.last_version}, {gain.num_contexts} passages"))
        boxes.append(_tile("Paired gain", format_gain(gain), format_p(gain.p_value)))
    if summary.steps_share is not None:
        boxes.append(_tile("Due to steps alone", f"{100 * summary.steps_share:.0f} %", "of the gain over passage-only"))
    work = summary.throughput
    rate = "—" if work.edits_per_hour is None else f"{work.edits_per_hour:,.0f} an hour"
    boxes.append(_tile("Self-edits scored", f"{work.num_scored:,}", rate))
    boxes.append(_tile("Time", format_duration(work.wall_seconds), "first job to last"))
    return element("div", *boxes, class_="tiles")


def curve_section(summary: RunSummary) -> Markup:
    """Return the learning curve in two sizes (the style sheet shows one) with its legend."""
    series = curve_series(summary)
    if not series:
        return element("p", "Nothing has been measured yet.", class_="muted")
    keys = [element("span", element("i", class_=f"key {line.style}"), line.label) for line in series]
    references = [
        element("span", element("i", class_=f"key {row.group}"), f"{row.label} {_mean(row)}", class_="narrow-only")
        for row in reference_rows(summary)
    ]
    return join(
        [
            element("div", *keys, *references, class_="legend"),
            element("div", learning_curve(summary, width=880, height=340, label_margin=176), class_="wide-only"),
            element("div", learning_curve(summary, width=350, height=260, label_margin=0), class_="narrow-only"),
            element("p", "% of questions answered right without the passage. Bands: 95 % confidence over passages.", class_="muted"),
        ]
    )


def result_table(summary: RunSummary) -> Markup:
    """Return the final table."""
    body, previous = [], None
    for row in summary.table:
        name = row.group if previous in (None, row.group) else f"{row.group} first"
        previous = row.group
        body.append(
            element(
                "tr",
                element("td", row.label, *([element("small", row.note)] if row.note else [])),
                element("td", format_percent(row.mean_percent, row.stderr_percent), class_="number"),
                element("td", _bar(row), class_="meter wide-only-cell"),
                element("td", str(row.num_contexts) if row.num_contexts else "—", class_="number"),
                element("td", str(row.num_edits) if row.num_edits else "", class_="number"),
                class_=name,
            )
        )
    heads = [("measured", ""), ("mean ± s.e. %", "number"), ("as a bar", "silent wide-only-cell"), ("n", "number"), ("edits", "number")]
    return html_table(heads, body)


def rounds_section(rounds: Sequence[RoundSummary]) -> Markup:
    """Return one card a round: histogram and figures. Of many rounds an even selection with the first and the last is drawn."""
    if not rounds:
        return element("p", "No round has begun.", class_="muted")
    shown = evenly_spaced(rounds, MAX_HISTOGRAMS)
    note = [element("p", f"{len(shown)} of {len(rounds)} rounds are drawn.", class_="muted")] if len(shown) < len(rounds) else []
    return join([element("div", *[_round_card(item) for item in shown], class_="cards"), *note])


def policies_section(policies: Sequence[PolicyStep]) -> Markup:
    """Return the lineage of policy versions, oldest first, and their adapters' full hashes below."""
    if not policies:
        return element("p", "No policy version has been recorded yet.", class_="muted")
    shown = evenly_spaced(policies, MAX_POLICIES)
    note = [element("p", f"{len(shown)} of {len(policies)} versions are drawn.", class_="muted")] if len(shown) < len(policies) else []
    rows = [
        element("tr", element("td", f"v{policy.version}"), element("td", element("code", policy.adapter_sha256)))
        for policy in policies
        if policy.adapter_sha256
    ]
    hashes = element(
        "details", element("summary", "SHA-256 of every version's adapter"), html_table([("policy", ""), ("adapter", "")], rows)
    )
    return join([element("ol", *[_policy_card(policy) for policy in shown], class_="lineage"), *note, *([hashes] if rows else [])])


def alarms_box(alarms: Sequence[Alarm]) -> Markup:
    """Return what people should look at, nothing when there is nothing."""
    if not alarms:
        return Markup("")
    items = [element("li", element("b", alarm.kind.replace("_", " ")), f" · {alarm.subject}: {alarm.text}") for alarm in alarms]
    return element("ul", *items, class_="alarms card", aria_label="Alarms")


def set_aside_section(set_aside: Sequence[tuple[str, str]]) -> Markup:
    """Return what could not be measured and why."""
    rows = [element("tr", element("td", element("code", job_id)), element("td", reason)) for job_id, reason in set_aside]
    return html_table([("job", ""), ("reason", "")], rows)


def html_table(heads: Iterable[tuple[str, str]], body: Sequence[Markup]) -> Markup:
    """Return a table that scrolls by itself where it is too wide; a head is its name and its class (`silent`: for screen readers only)."""
    head = element("tr", *[_head(name, style) for name, style in heads])
    return element("div", element("table", element("thead", head), element("tbody", *body)), class_="scroll")


def evenly_spaced(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most `most` items, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def _head(name: str, style: str) -> Markup:
    if "silent" not in style:
        return element("th", name, class_=style or None, scope="col")
    return element("th", element("span", name, class_="silent"), class_=style.replace("silent", "").strip() or None, scope="col")


def _tile(name: str, value: str, detail: str) -> Markup:
    return element("div", element("span", name), element("strong", value), element("small", detail), class_="tile")


def _mean(row: TableRow | None) -> str:
    return "—" if row is None or row.mean_percent is None else f"{row.mean_percent:.1f}"


def _bar(row: TableRow) -> Markup:
    if row.mean_percent is None:
        return Markup("")
    return element("div", class_="fill", style=f"width:{row.mean_percent:.1f}%")


def _round_card(item: RoundSummary) -> Markup:
    stderr = None if item.stderr_reward is None else 100 * item.stderr_reward
    mean = format_percent(None if item.mean_reward is None else 100 * item.mean_reward, stderr)
    best = "—" if item.best_reward is None else f"{100 * item.best_reward:.1f}"
    facts = [f"best of each passage {best} %", f"{item.num_edits} edits of {item.num_contexts} passages"]
    facts += [f"written by policy v{item.policy_version}"] if item.policy_version != item.round - 1 else []
    if item.distinct_share is not None:
        facts.append(f"{100 * item.distinct_share:.0f} % of the texts differ within a passage")
    if item.edits_per_hour is not None:
        facts.append(f"{item.edits_per_hour:,.0f} edits an hour")
    facts += [f"{number} {name}" for number, name in ((item.num_unparsed, "unparsed"), (item.num_invalid, "set aside")) if number]
    facts += [f"{item.num_missing} not measured"] if item.num_missing else []
    return element(
        "div",
        element("h3", f"Round {item.round}"),
        element("p", element("strong", f"{mean} %"), " mean reward"),
        reward_histogram(item),
        element("ul", *[element("li", fact) for fact in facts]),
        class_="card",
    )


def _policy_card(policy: PolicyStep) -> Markup:
    facts = ["base model, no adapter"] if policy.version == 0 else []
    if policy.version > 0:
        learned = f"learned from {policy.num_chosen} edits of round {policy.round}"
        facts.append(learned if policy.adapter_sha256 else f"unchanged: round {policy.round} had nothing to learn")
    if policy.adapter_sha256:
        facts.append(f"rank {policy.rank}, {format_bytes(policy.num_bytes)}, {policy.adapter_sha256[:12]}")
    score = "not measured" if policy.heldout_percent is None else f"{policy.heldout_percent:.1f} %"
    parent = "" if policy.parent is None or policy.parent == policy.version - 1 else f" (from v{policy.parent})"
    lines = [element("small", fact) for fact in facts]
    return element("li", element("b", f"v{policy.version}{parent}"), element("strong", score), *lines, class_="card")
