"""Where the time went, as HTML: the agents' busy shares, what each stage took, and the throughput of each round."""

from collections.abc import Sequence

from seal_runtime.report.markup import Markup, element, join
from seal_runtime.report.model import AgentShare, RoundSummary, RunSummary, Throughput
from seal_runtime.report.plain_text import format_duration
from seal_runtime.report.sections import evenly_spaced, html_table
from seal_runtime.report.shares import STAGES

MAX_AGENTS = 48
MAX_ROUNDS = 24


def time_section(summary: RunSummary) -> Markup:
    """Return the agents' bars, the stages' table and the rounds' throughput."""
    if not summary.agents:
        return element("p", "No agent has done a job.", class_="muted")
    tables = element("div", _stages(summary.throughput), _rounds(summary.rounds), class_="stories")
    return join([_agents(summary.agents), tables])


def _agents(agents: Sequence[AgentShare]) -> Markup:
    """Return one bar an agent: its busy time by stage, as a share of the time that it was there."""
    stages = [stage for stage in STAGES if any(stage in agent.busy_seconds for agent in agents)]
    legend = element("div", *[element("span", element("i", class_=f"key stage-{s}"), s) for s in stages], class_="legend")
    left = len(agents) - MAX_AGENTS
    note = [element("p", f"and {left} more agents", class_="muted")] if left > 0 else []
    return join([legend, element("div", *[_agent_bar(agent) for agent in agents[:MAX_AGENTS]], class_="agents"), *note])


def _agent_bar(agent: AgentShare) -> Markup:
    total = sum(agent.busy_seconds.values())
    segments, spoken = [], [agent.agent]
    for stage, seconds in agent.busy_seconds.items():
        # Stages of one agent may overlap; together the segments are as long as the agent was busy with anything.
        width = 100 * agent.busy_share * seconds / total if total else 0.0
        fact = f"{stage}: {format_duration(seconds)}"
        spoken.append(fact)
        segments.append(element("div", class_=f"hover stage-{stage}", style=f"width:{width:.2f}%", data_tip=f"{agent.agent}\n{fact}"))
    spoken.append(f"there for {format_duration(agent.present_seconds)}")
    text = f"{100 * agent.busy_share:.0f} % busy · {agent.num_jobs:,} job{'' if agent.num_jobs == 1 else 's'}"
    tip = "\n".join(spoken)
    bar = element("div", *segments, class_="track", tabindex="0", role="img", aria_label=", ".join(spoken), data_tip=tip)
    return element("div", element("span", agent.agent), bar, element("span", text, class_="muted"), class_="agent")


def _stages(work: Throughput) -> Markup:
    total = sum(work.job_seconds.values())
    rows = [
        element(
            "tr",
            element("td", element("i", class_=f"key stage-{stage}"), f" {stage}"),
            element("td", f"{work.jobs[stage]:,}", class_="number"),
            element("td", f"{seconds / work.jobs[stage]:.3g} s", class_="number"),
            element("td", f"{100 * seconds / total:.0f} %" if total else "—", class_="number"),
        )
        for stage, seconds in work.job_seconds.items()
    ]
    heads = [("stage", ""), ("jobs", "number"), ("mean", "number"), ("of job time", "number")]
    note = element("p", "Jobs of one agent overlap: a job's time runs from its start to its end.", class_="muted")
    return element("div", element("h3", "By stage"), html_table(heads, rows), note, class_="card")


def _rounds(rounds: Sequence[RoundSummary]) -> Markup:
    timed = [item for item in rounds if item.edits_per_hour is not None]
    fastest = max((item.edits_per_hour or 0.0 for item in timed), default=0.0)
    shown = evenly_spaced(timed, MAX_ROUNDS)
    rows = [_round_row(item, fastest) for item in shown]
    left = [element("p", f"{len(shown)} of {len(timed)} rounds are listed.", class_="muted")] if len(shown) < len(timed) else []
    body = html_table([("round", ""), ("edits", "number"), ("edits an hour", "number"), ("share of the fastest", "silent")], rows)
    nothing = element("p", "No round has been timed yet.", class_="muted")
    return element("div", element("h3", "By round"), *([body, *left] if rows else [nothing]), class_="card")


def _round_row(item: RoundSummary, fastest: float) -> Markup:
    rate = item.edits_per_hour or 0.0
    bar = element("div", class_="fill", style=f"width:{100 * rate / fastest if fastest else 0.0:.1f}%")
    return element(
        "tr",
        element("td", f"Round {item.round}"),
        element("td", f"{item.num_edits:,}", class_="number"),
        element("td", f"{rate:,.0f}", class_="number"),
        element("td", bar, class_="meter own"),
    )
