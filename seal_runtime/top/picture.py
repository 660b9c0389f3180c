"""Draw the parts of `top` from a status. Pure; all text of the run is taken literally, never as markup."""

from collections.abc import Callable
from typing import Literal

from rich.table import Table
from rich.text import Text

from launch.status_panel import CURVES, PHASE_STYLES, SILENT_SECONDS, STATE_STYLES, format_seconds, sparkline
from protocol.jobs import ROLES
from protocol.status import AgentStatus, RunStatus
from seal_runtime.top.words import ENDED, bottleneck, time_shares

SortKey = Literal["role", "busy", "done", "memory", "silent"]
SORT_KEYS: tuple[SortKey, ...] = ("role", "busy", "done", "memory", "silent")
MAX_POINTS = 30
"""Points of a curve that are drawn, the latest ones."""
SHARE_STYLES = {"proposing": "cyan", "adapting": "green", "evaluating": "blue", "credit": "magenta", "waiting": "bright_black"}
SHARE_MARKS = {"proposing": "p", "adapting": "a", "evaluating": "e", "credit": "c", "waiting": "."}
WIDE = 100
"""From this width on the table names hosts."""
LEGEND_WIDTH = 84
"""From this width on the legend of the shares stands under their bar."""
MAX_NOTES = 6
GIB = 1 << 30

_SORTED: dict[SortKey, Callable[[AgentStatus], object]] = {
    "role": lambda agent: (ROLES.index(agent.role), agent.agent),
    "busy": lambda agent: (-agent.busy_seconds, agent.agent),
    "done": lambda agent: (-agent.jobs_done, agent.agent),
    "memory": lambda agent: (-agent.gpu_memory_bytes, agent.agent),
    "silent": lambda agent: (-agent.last_seen_seconds, agent.agent),
}


def headline(status: RunStatus, *, is_paused: bool) -> Text:
    """Return how far the run is, in one line."""
    line = Text(status.phase, style=PHASE_STYLES.get(status.phase, "bold"), no_wrap=True, overflow="ellipsis")
    line.append(f"  round {status.round} of {status.num_rounds}  policy v{status.policy_version}", style="default")
    line.append(f"  lag {status.policy_lag}" if status.phase not in ENDED else "", style="yellow" if status.policy_lag else "default")
    line.append(f"  {format_seconds(status.elapsed_seconds)}", style="default")
    if status.phase not in ENDED:
        left = f"about {format_seconds(status.eta_seconds)} left" if status.eta_seconds is not None else "time left unknown"
        line.append(f"  {left}", style="default")
    return line.append("  PAUSED" if is_paused else "", style="bold reverse")


def speed(status: RunStatus, width: int) -> Text:
    """Return progress and throughput in one line."""
    share = status.items_done / status.items_total if status.items_total else 0.0
    cells = max(8, min(24, width - 64))
    full = round(share * cells)
    line = Text("━" * full, style="green", no_wrap=True, overflow="ellipsis").append("╌" * (cells - full), style="bright_black")
    line.append(f" {status.items_done}/{status.items_total} scored", style="default")
    line.append(f"  {_rate(status.edits_per_hour)} edits/h", style="bold")
    if status.recent_edits_per_hour is not None and status.phase not in ENDED:
        line.append(f", now {_rate(status.recent_edits_per_hour)}", style="default")
    return line


def queues(status: RunStatus) -> Text:
    """Return how many jobs wait for each role."""
    waiting = "  ".join(f"{role} {status.jobs_waiting.get(role, 0)}" for role in ROLES)
    return Text(f"waiting jobs  {waiting}", no_wrap=True, overflow="ellipsis")


def shares(status: RunStatus, width: int) -> Text:
    """Return what the agents' time went into, as a bar and its legend in two lines; both can be read without colours."""
    found = time_shares(status.roles)
    if not found:
        return Text("time          not known" if status.phase in ENDED else "time          nobody is ready yet", style="dim")
    cells = max(20, width - 16)
    bar, drawn, upto = Text("time          ", no_wrap=True), 0, 0.0
    for name, share in found.items():
        upto += share
        bar.append(SHARE_MARKS[name] * (round(upto * cells) - drawn), style=SHARE_STYLES[name])
        drawn = round(upto * cells)
    legend = Text("\n" + (" " * 14 if width >= LEGEND_WIDTH else ""))
    for name, share in found.items():
        legend.append(f"{name} {100 * share:.0f} %  ", style=SHARE_STYLES[name])
    return bar.append_text(legend)


def verdict(status: RunStatus) -> Text:
    """Return the bottleneck in words."""
    text = bottleneck(status)
    return Text(f"bottleneck    {text}" if text else "", style="bold")


def curves(status: RunStatus) -> Text:
    """Return the learning curves, one line each: a sparkline, the first, the last and the best value in percent."""
    lines = []
    for label, prefix in CURVES:
        scored = [(study, study.mean_score) for study in status.studies if study.study.startswith(prefix) and study.mean_score is not None]
        if not scored:
            continue
        values, last = [mean for _, mean in scored], scored[-1][0]
        first = f"{100 * values[0]:.1f} → " if len(values) > 1 else ""
        so_far = "" if last.num_scored + last.num_invalid >= last.num_items else f" ({last.num_scored} of {last.num_items} scored)"
        best = f", best {100 * max(values):.1f} %" if len(values) > 1 else ""
        lines.append(f"{label:<13} {sparkline(values[-MAX_POINTS:])} {first}{100 * values[-1]:.1f} %{so_far}{best}")
    return Text(
        "\n".join(lines) or "learning      nothing is scored yet", style="cyan" if lines else "dim", no_wrap=True, overflow="ellipsis"
    )


def agents_table(status: RunStatus, sort: SortKey, width: int) -> Table | Text:
    """Return the agents, sorted; the columns about GPUs only where an agent has one."""
    if not status.agents:
        return Text("no agent is here" if status.phase in ENDED else "no agent yet (they load their models)", style="dim")
    has_gpu = any(agent.gpus or agent.gpu_memory_bytes for agent in status.agents)
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("agent", no_wrap=True)
    if width >= WIDE:
        table.add_column("host", no_wrap=True, max_width=16, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    table.add_column("at work on", ratio=1, no_wrap=True, overflow="ellipsis")
    for title in ("done", "failed", "busy", *(("gpu", "memory", "used") if has_gpu else ())):
        table.add_column(title, justify="right", no_wrap=True)
    for agent in sorted(status.agents, key=_SORTED[sort]):  # type: ignore[arg-type]
        table.add_row(*_cells(agent, status, has_gpu=has_gpu, is_wide=width >= WIDE))
    return table


def notes(status: RunStatus, away: str) -> Text:
    """Return alarms and problems, one line each, the most important ones first; `away` says why the status is an old one."""
    lines = [Text(away, style="yellow")] if away else []
    lines += [Text(f"! {alarm.text}", style="bold red") for alarm in status.alarms]
    lines += [Text(f"! {problem}", style="yellow") for problem in status.problems]
    if status.frames_dropped:
        lines.append(Text(f"! {status.frames_dropped} malformed frames dropped", style="yellow"))
    if len(lines) > MAX_NOTES:
        lines = [*lines[: MAX_NOTES - 1], Text(f"and {len(lines) - MAX_NOTES + 1} more: seal-runtime status", style="dim")]
    return Text("\n").join(lines)


def _cells(agent: AgentStatus, status: RunStatus, *, has_gpu: bool, is_wide: bool) -> list[Text]:
    share = min(1.0, agent.busy_seconds / status.elapsed_seconds) if status.elapsed_seconds > 0 else 0.0
    cells = [Text(agent.agent)]
    cells += [Text(agent.hostname)] if is_wide else []
    cells += [Text(agent.state, style=STATE_STYLES[agent.state]), Text(_work(agent))]
    cells += [Text(str(agent.jobs_done)), Text(str(agent.jobs_failed), style="yellow" if agent.jobs_failed else "dim")]
    cells.append(Text(f"{100 * share:.0f} %"))
    if has_gpu:
        used = f"{100 * agent.gpu_busy_share:.0f} %" if agent.gpu_busy_share is not None else "-"
        memory = f"{agent.gpu_memory_bytes / GIB:.1f} GiB" if agent.gpu_memory_bytes else "-"
        cells += [Text(",".join(str(gpu) for gpu in agent.gpus) or "-"), Text(memory), Text(used)]
    return cells


def _work(agent: AgentStatus) -> str:
    silent = f"silent {format_seconds(agent.last_seen_seconds)}  " if agent.last_seen_seconds >= SILENT_SECONDS else ""
    more = f" +{len(agent.job_ids) - 1}" if len(agent.job_ids) > 1 else ""
    return silent + (f"{agent.job_ids[0]}{more}" if agent.job_ids else "")


def _rate(per_hour: float | None) -> str:
    return "-" if per_hour is None else f"{per_hour:,.0f}"
