"""The second half of a story: what the critic made of the edit, which policies it stands between, and who did the work."""

from datetime import datetime

from rich.console import Console
from rich.text import Text

from seal_runtime.report.plain_text import format_duration, printable
from seal_runtime.story.layout import HASH_CHARS, INDENT, body, heading, packed
from seal_runtime.story.model import Attempt, Credit, PolicyStory, Rival, Story

_BAR_CELLS = 20
_OUTCOMES = {"committed": ("done", "green"), "failed": ("failed", "red"), "lost": ("lost", "yellow")}


def show_credit(story: Story, console: Console) -> None:
    """Print the edit among its rivals; for an edit of a round without credit, say that there is none yet."""
    credit = story.credit
    if story.round is None:
        return
    if credit is None:
        heading(console, "Credit")
        body(console, Text("none yet: the round is not complete", style="dim"))
        return
    heading(console, "Credit", f"the policy learns from {credit.rule}; {credit.num_selected} in this round")
    for rival in sorted(credit.rivals, key=lambda rival: (-(rival.reward if rival.reward is not None else -1.0), rival.edit_index)):
        body(console, _rival(rival, story.edit_index))
    if credit.baseline is not None:
        body(console, Text(f"without any edit the context scored {credit.baseline:.3f}", style="dim"))


def show_policies(story: Story, console: Console) -> None:
    """Print the version that wrote the edit and the one that the round led to."""
    if story.policy is None:
        return
    heading(console, "Policy")
    body(console, Text(f"{_verb(story)} {_policy(story.policy)}"))
    if story.round is None:
        return
    if story.next_policy is None:
        body(console, Text(f"the version after round {story.round} does not exist yet", style="dim"))
        return
    body(console, Text(f"round {story.round} led to {_policy(story.next_policy)}"))
    body(console, _share(story.credit, story.next_policy))


def show_attempts(story: Story, console: Console) -> None:
    """Print every attempt: what, who, where, when, for how long, and why it failed."""
    dates = {_local(at).date() for attempt in story.attempts if (at := _at(attempt)) is not None}
    heading(console, "Attempts", " and ".join(f"{date:%Y-%m-%d}" for date in sorted(dates)) + (", local time" if dates else ""))
    if not story.attempts:
        body(console, Text("none has ended yet", style="dim"))
    for attempt in story.attempts:
        _show_attempt(attempt, story.num_replicates > 1, console)
    for lost in story.set_aside:
        body(console, Text(f"set aside: {lost.job_id}", style="bold yellow"))
        body(console, Text(printable(lost.reason), style="yellow"), indent=2 * INDENT)


def _rival(rival: Rival, own_index: int) -> Text:
    is_own = rival.edit_index == own_index
    bar = "█" * round(_BAR_CELLS * min(max(rival.reward or 0.0, 0.0), 1.0))
    reward = "  —  " if rival.reward is None else f"{rival.reward:.3f}"
    words = []
    if rival.reward is None:
        words.append("not measured")
    if rival.weight:
        words.append(f"selected, weight {rival.weight:g}")
    if is_own:
        words.append("this edit")
    style = "bold" if is_own else ""
    color = "green" if rival.weight else "blue"
    return Text.assemble((f"e{rival.edit_index:<3} {reward}  ", style), (f"{bar:<{_BAR_CELLS}}", color), (f"  {', '.join(words)}", style))


def _share(credit: Credit | None, policy: PolicyStory) -> Text:
    if credit is None or not credit.weight:
        return Text("it did not learn from this edit", style="dim")
    if not policy.adapter_sha256:
        return Text("this edit was selected, but the update was given up: the policy stayed as it was", style="yellow")
    return Text(f"this edit is one of the {credit.num_selected} that it learned from", style="green")


def _verb(story: Story) -> str:
    if story.proposal is not None:
        return "written by"
    return "trained on" if any(replicate.training is not None for replicate in story.replicates) else "answered by"


def _policy(policy: PolicyStory) -> str:
    if policy.parent is None:
        return f"v{policy.version}, the base model"
    change = f"adapter {policy.adapter_sha256[:HASH_CHARS]}" if policy.adapter_sha256 else "no change"
    return f"v{policy.version} ({change} on v{policy.parent}, after round {policy.round})"


def _show_attempt(attempt: Attempt, names_replicate: bool, console: Console) -> None:
    parts = attempt.job_id.split("/")
    is_drawn_again = attempt.stage == "propose" and len(parts) == len(("study", "context", "edit", "draw", "stage"))
    is_replicate = names_replicate and attempt.stage in ("adapt", "evaluate")
    what = f"{attempt.stage} {parts[-2]}" if is_drawn_again or is_replicate else attempt.stage
    word, style = _OUTCOMES[attempt.outcome]
    again = f"try {attempt.number}" + (f" after restart {attempt.controller}" if attempt.controller else "")
    when = f"{_local(at):%H:%M:%S}" if (at := _at(attempt)) is not None else ""
    took = format_duration(attempt.duration_seconds) if attempt.duration_seconds is not None else ""
    gpus = f", GPU {','.join(map(str, attempt.gpus))}" if attempt.gpus else ""
    where = f"on {printable(attempt.hostname)}{gpus}" if attempt.hostname else ""
    head = Text.assemble((f"{what:<12}", "bold"), f" {when:>8} {took:>8}  ", (f"{word:<6}", style))
    facts = [Text(text, style="dim") for text in (attempt.agent, where, again if attempt.number > 1 or attempt.controller else "") if text]
    chunks = [Text.assemble(head, "  ", facts[0]), *facts[1:]] if facts else [head]
    for number, line in enumerate(packed(chunks, console.width - INDENT, gap=" ")):
        body(console, line, indent=INDENT if number == 0 else 2 * INDENT)
    if attempt.reason:
        reason = f"{attempt.error_type}: {attempt.reason}" if attempt.error_type else attempt.reason
        body(console, Text(printable(reason), style=style), indent=2 * INDENT)


def _at(attempt: Attempt) -> float | None:
    """Return when the attempt began, or ended where its beginning is not known."""
    return attempt.started_at if attempt.started_at is not None else attempt.ended_at


def _local(at: float) -> datetime:
    return datetime.fromtimestamp(at).astimezone()
