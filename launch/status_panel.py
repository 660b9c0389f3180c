"""Draw a RunStatus for people. Pure: the same status and width give the same picture; all text is taken literally, never as markup."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from protocol.jobs import ROLES
from protocol.status import AgentStatus, RunStatus, StudyStatus

BLOCKS = "▁▂▃▄▅▆▇█"
CURVES = (("reward", "round-"), ("held-out", "heldout-v"))
"""Learning curves: a label, and the prefix of the studies that are its points."""
STATE_STYLES = {"busy": "green", "idle": "dim", "starting": "yellow", "draining": "magenta"}
PHASE_STYLES = {"done": "bold green", "failed": "bold red", "stopping": "yellow", "starting": "yellow"}
FIXED_LINES = 10
"""Lines of the picture beside studies, agents and problems."""
MIN_STUDIES = 3
ENDED = ("done", "stopped", "failed", "interrupted")
SILENT_SECONDS = 5.0
"""An agent that was not heard for so long is shown with how long; heartbeats come every second unless bus.heartbeat_seconds differs."""
NARROW = 72
"""Below this width the least needed columns are left out."""


def render(status: RunStatus, width: int, height: int | None = None) -> RenderableType:
    """Return the whole picture for a terminal of `width` columns. `height` lines leave out finished studies, oldest first."""
    parts: list[RenderableType] = [_headline(status), _progress(status, width)]
    if status.studies:
        room = (
            len(status.studies)
            if height is None
            else max(MIN_STUDIES, height - FIXED_LINES - len(status.agents) - len(status.problems) - len(status.alarms))
        )
        parts.append(_studies(status.studies, width, room))
    curve = learning_curve(status.studies)
    if curve:
        parts.append(Text(curve, style="cyan"))
    parts.append(_agents(status, width))
    scaled = [f"{wanted.role}={wanted.count}" for wanted in status.wanted if wanted.request]
    if scaled and status.phase not in ENDED:
        parts.append(Text(f"scaled to {' '.join(scaled)}", style="dim"))
    parts += [Text(f"! {alarm.text}", style="bold red") for alarm in status.alarms]
    parts += [Text(f"! {problem}", style="yellow") for problem in status.problems]
    if status.frames_dropped:
        parts.append(Text(f"! {status.frames_dropped} malformed frames dropped", style="yellow"))
    return Panel(Group(*parts), title=Text(f"seal-runtime · {status.run_id}"), title_align="left", border_style="blue", width=width)


def status_line(status: RunStatus) -> str:
    """Return the status in one line for logs and pipes."""
    busy = sum(agent.state == "busy" for agent in status.agents)
    left = f", about {format_seconds(status.eta_seconds)} left" if status.eta_seconds is not None and status.phase not in ENDED else ""
    return (
        f"[{format_seconds(status.elapsed_seconds)}] {status.phase}: round {status.round} of {status.num_rounds}, "
        f"policy v{status.policy_version}, "
        f"{status.items_done}/{status.items_total} scored, {busy} of {len(status.agents)} agents busy{_latest_score(status.studies)}{left}"
    )


def learning_curve(studies: tuple[StudyStatus, ...]) -> str:
    """Return a sparkline of each curve that has two points or more, with its first and last value in percent."""
    curves = []
    for label, prefix in CURVES:
        points = [study.mean_score for study in studies if study.study.startswith(prefix)]
        values = [value for value in points if value is not None]
        if len(values) > 1:
            curves.append(f"{label} {sparkline(values)} {100 * values[0]:.1f} → {100 * values[-1]:.1f}")
    return "   ".join(curves)


def sparkline(values: list[float]) -> str:
    """Return one block character a value, scaled from the lowest to the highest; equal values are drawn low."""
    low, high = min(values), max(values)
    span = high - low or 1.0
    return "".join(BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))] for value in values)


def format_seconds(seconds: float) -> str:
    """Return a duration as 7s, 1m03s or 2h05m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def format_score(study: StudyStatus) -> str:
    """Return mean and standard error in percent, or a dash."""
    if study.mean_score is None:
        return "-"
    error = f" ± {100 * study.score_stderr:.1f}" if study.score_stderr is not None else ""
    return f"{100 * study.mean_score:.1f}{error}"


def _headline(status: RunStatus) -> Text:
    line = Text(status.phase, style=PHASE_STYLES.get(status.phase, "bold"))
    line.append(f"  round {status.round} of {status.num_rounds}  policy v{status.policy_version}", style="default")
    left = f"about {format_seconds(status.eta_seconds)} left" if status.eta_seconds is not None else "time left unknown"
    return line.append(f"  {format_seconds(status.elapsed_seconds)}  {'' if status.phase in ENDED else left}", style="default")


def _progress(status: RunStatus, width: int) -> Table:
    grid = Table.grid(padding=(0, 1))
    total = max(1, status.items_total)
    share = 100 * status.items_done / total
    bar = ProgressBar(total=total, completed=status.items_done, width=max(10, min(40, width - 40)))
    grid.add_row(bar, Text(f"{status.items_done}/{status.items_total} edits scored  {share:.0f} %"))
    return grid


def _studies(studies: tuple[StudyStatus, ...], width: int, room: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("study", no_wrap=True)
    for title in ("policy", "scored", "score, %", "unparsed", "invalid") if width >= NARROW else ("scored", "score, %"):
        table.add_column(title, justify="right", no_wrap=True)
    for study in visible_studies(studies, room):
        scored = Text(f"{study.num_scored}/{study.num_items}", style="green" if study.num_scored == study.num_items else "default")
        score = Text(format_score(study), style="bold" if study.study.startswith("round-") else "default")
        counts = [_count(study.num_unparsed), _count(study.num_invalid)]
        cells = [Text(f"v{study.policy_version}"), scored, score, *counts] if width >= NARROW else [scored, score]
        table.add_row(Text(study.study), *cells)
    return table


def visible_studies(studies: tuple[StudyStatus, ...], room: int) -> list[StudyStatus]:
    """Return at most `room` studies in their order: those under way first, then the latest finished, then those to come."""

    def rank(index: int) -> tuple[int, int]:
        study = studies[index]
        finished = study.num_scored + study.num_invalid >= study.num_items
        started = study.num_scored > 0
        return (0 if started and not finished else 1 if finished else 2), (-index if finished else index)

    kept = sorted(sorted(range(len(studies)), key=rank)[:room])
    return [studies[index] for index in kept]


def _agents(status: RunStatus, width: int) -> RenderableType:
    if not status.agents:
        return Text("no agent is here" if status.phase in ENDED else "no agent yet (they load their models)", style="dim")
    table = Table(box=None, pad_edge=False, header_style="bold", width=width - 4)
    table.add_column("agent", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("at work on", ratio=1, no_wrap=True, overflow="ellipsis")
    for title in ("done", "failed", "busy") if width >= NARROW else ("done",):
        table.add_column(title, justify="right", no_wrap=True)
    for agent in sorted(status.agents, key=lambda agent: (ROLES.index(agent.role), agent.agent)):
        share = min(1.0, agent.busy_seconds / status.elapsed_seconds) if status.elapsed_seconds > 0 else 0.0
        cells = [Text(str(agent.jobs_done)), _count(agent.jobs_failed), Text(f"{100 * share:.0f} %")]
        table.add_row(
            Text(_agent_name(agent)),
            Text(agent.state, style=STATE_STYLES[agent.state]),
            Text(_work(agent)),
            *cells[: 3 if width >= NARROW else 1],
        )
    return table


def _agent_name(agent: AgentStatus) -> str:
    gpus = f" gpu {','.join(str(gpu) for gpu in agent.gpus)}" if agent.gpus else ""
    return f"{agent.agent}{gpus}"


def _work(agent: AgentStatus) -> str:
    silent = f"silent {format_seconds(agent.last_seen_seconds)}" if agent.last_seen_seconds >= SILENT_SECONDS else ""
    more = f" +{len(agent.job_ids) - 1}" if len(agent.job_ids) > 1 else ""
    return "  ".join(part for part in (silent, f"{agent.job_ids[0]}{more}" if agent.job_ids else "") if part)


def _count(number: int) -> Text:
    return Text(str(number), style="yellow" if number else "dim")


def _latest_score(studies: tuple[StudyStatus, ...]) -> str:
    rounds = [study for study in studies if study.study.startswith("round-") and study.mean_score is not None]
    return f", {rounds[-1].study} reward {format_score(rounds[-1])} %" if rounds else ""
