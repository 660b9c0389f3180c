"""The sections of the HTML report that show figures: headline tiles, curve, tables, rewards, time, lineage."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from seal_runtime.report.curve import curve_series, learning_curve, reference_rows
from seal_runtime.report.histogram import reward_histogram
from seal_runtime.report.markup import Markup, element, join
from seal_runtime.report.model import AgentShare, PolicyStep, RoundSummary, RunSummary, TableRow
from seal_runtime.report.plain_text import format_bytes, format_duration
from seal_runtime.report.shares import STAGES
from seal_runtime.report.verdict import format_gain, format_p, format_percent

Item = TypeVar("Item")
MAX_HISTOGRAMS = 12
MAX_AGENTS = 48
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
    heads = [("", ""), ("mean ± s.e. %", "number"), ("", "wide-only-cell"), ("n", "number"), ("edits", "number")]
    return _table(heads, body)


def rounds_section(rounds: Sequence[RoundSummary]) -> Markup:
    """Return one card a round: histogram and figures. Of many rounds an even selection with the first and the last is drawn."""
    if not rounds:
        return element("p", "No round has begun.", class_="muted")
    shown = evenly_spaced(rounds, MAX_HISTOGRAMS)
    note = [element("p", f"{len(shown)} of {len(rounds)} rounds are drawn.", class_="muted")] if len(shown) < len(rounds) else []
    return join([element("div", *[_round_card(item) for item in shown], class_="cards"), *note])


def agents_section(agents: Sequence[AgentShare]) -> Markup:
    """Return one bar an agent: its busy time by stage, as a share of the time that it was there."""
    if not agents:
        return element("p", "No agent has done a job.", class_="muted")
    stages = [stage for stage in STAGES if any(stage in agent.busy_seconds for agent in agents)]
    legend = element("div", *[element("span", element("i", class_=f"key stage-{s}"), s) for s in stages], class_="legend")
    left = len(agents) - MAX_AGENTS
    note = [element("p", f"and {left} more agents", class_="muted")] if left > 0 else []
    return join([legend, element("div", *[_agent_bar(agent) for agent in agents[:MAX_AGENTS]], class_="agents"), *note])


def policies_section(policies: Sequence[PolicyStep]) -> Markup:
    """Return the lineage of policy versions, oldest first."""
    shown = evenly_spaced(policies, MAX_POLICIES)
    return element("ol", *[_policy_card(policy) for policy in shown], class_="lineage")


def set_aside_section(set_aside: Sequence[tuple[str, str]]) -> Markup:
    """Return what could not be measured and why."""
    rows = [element("tr", element("td", element("code", job_id)), element("td", reason)) for job_id, reason in set_aside]
    return _table([("job", ""), ("reason", "")], rows)


def evenly_spaced(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most `most` items, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def _tile(name: str, value: str, detail: str) -> Markup:
    return element("div", element("span", name), element("strong", value), element("small", detail), class_="tile")


def _mean(row: TableRow | None) -> str:
    return "—" if row is None or row.mean_percent is None else f"{row.mean_percent:.1f}"


def _bar(row: TableRow) -> Markup:
    return element("div", class_="fill", style=f"width:{row.mean_percent or 0.0:.1f}%")


def _table(heads: Iterable[tuple[str, str]], body: Sequence[Markup]) -> Markup:
    head = element("tr", *[element("th", name, class_=style or None, scope="col") for name, style in heads])
    return element("div", element("table", element("thead", head), element("tbody", *body)), class_="scroll")


def _round_card(item: RoundSummary) -> Markup:
    stderr = None if item.stderr_reward is None else 100 * item.stderr_reward
    mean = format_percent(None if item.mean_reward is None else 100 * item.mean_reward, stderr)
    best = "—" if item.best_reward is None else f"{100 * item.best_reward:.1f}"
    facts = [f"best of each passage {best} %", f"{item.num_edits} edits of {item.num_contexts} passages"]
    if item.distinct_share is not None:
        facts.append(f"{100 * item.distinct_share:.0f} % of the texts distinct")
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


def _agent_bar(agent: AgentShare) -> Markup:
    total = sum(agent.busy_seconds.values())
    segments = []
    for stage, seconds in agent.busy_seconds.items():
        # Stages of one agent may overlap; together the segments are as long as the agent was busy with anything.
        width = 100 * agent.busy_share * seconds / total if total else 0.0
        tip = f"{agent.agent}\n{stage}: {format_duration(seconds)}"
        segments.append(element("div", class_=f"hover stage-{stage}", style=f"width:{width:.2f}%", tabindex="0", data_tip=tip))
    text = f"{100 * agent.busy_share:.0f} % busy · {agent.num_jobs:,} job{'' if agent.num_jobs == 1 else 's'}"
    bar = element("div", *segments, class_="track")
    return element("div", element("span", agent.agent), bar, element("span", text, class_="muted"), class_="agent")


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
