"""Say in plain words what a run showed, and no more than it showed."""

from seal_runtime.report.model import PairedGain, RunSummary, TableRow

SIGNIFICANT_P = 0.01
SUGGESTIVE_P = 0.05
FEWEST_CONTEXTS = 8
"""Below this a paired test over contexts says too little to speak of learning."""

FORGETTING_PERCENT = 2.0
"""A loss of known facts above this is named as forgetting."""


def verdict(summary: RunSummary) -> str:
    """Return a few sentences: is it learning, do the optimizer steps explain it, what did the control do, was anything forgotten?"""
    parts = [_progress(summary), _finding(summary), _steps(summary), _control(summary), _joint(summary), _continual(summary)]
    parts.append(_retention(summary))
    return " ".join(part for part in parts if part)


def format_percent(mean: float | None, stderr: float | None) -> str:
    """Return `57.6 ± 2.6`, or a dash for what was not measured."""
    if mean is None:
        return "—"
    return f"{mean:.1f}" if stderr is None else f"{mean:.1f} ± {stderr:.1f}"


def format_gain(gain: PairedGain) -> str:
    """Return `+28.7 ± 4.0`, in percentage points."""
    return f"{gain.gain_percent:+.1f}" if gain.stderr_percent is None else f"{gain.gain_percent:+.1f} ± {gain.stderr_percent:.1f}"


def format_p(p_value: float | None) -> str:
    """Return `p = 0.013`, or `p < 0.0001` for what is smaller."""
    if p_value is None:
        return "p unknown"
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"


def _progress(summary: RunSummary) -> str:
    identity = summary.identity
    if identity.phase == "done":
        return ""
    finished = sum(not row.num_missing for row in summary.rounds)
    reason = f": {identity.reason}" if identity.reason else ""
    return f"The run is not complete, {finished} of {identity.rounds} rounds are scored (phase {identity.phase}{reason})."


def _finding(summary: RunSummary) -> str:
    gain = summary.gain
    if gain is None and (summary.continual or summary.row("cpt-v0")):
        return ""  # these were measured instead, and speak for themselves
    if gain is None:
        return "Nothing can be said about learning: the held-out passages were not measured before and after training."
    before, after = _heldout(summary, gain.first_version), _heldout(summary, gain.last_version)
    if before is None or after is None:
        return ""
    figures = (
        f"held-out accuracy went from {format_percent(before.mean_percent, before.stderr_percent)} to "
        f"{format_percent(after.mean_percent, after.stderr_percent)} % (paired gain {_gain(gain)} over {gain.num_contexts} passages)"
    )
    if gain.num_contexts < FEWEST_CONTEXTS or gain.p_value is None:
        return f"Too few held-out passages to tell whether the model learned: {figures}."
    return f"{_claim(gain)}: {figures}."


def _claim(gain: PairedGain) -> str:
    assert gain.p_value is not None
    if gain.p_value >= SUGGESTIVE_P:
        return "No significant change"
    if gain.gain_percent < 0:
        return "The model got worse at teaching itself"
    return "The model learned to teach itself" if gain.p_value < SIGNIFICANT_P else "The model probably learned to teach itself a little"


def _steps(summary: RunSummary) -> str:
    gain, share = summary.gain, summary.steps_share
    if share is None or gain is None or gain.p_value is None or gain.p_value >= SUGGESTIVE_P or gain.gain_percent <= 0:
        return ""
    if share <= 0:
        return "As many optimizer steps on the passage alone explain none of the gain over passage-only."
    return f"As many optimizer steps on the passage alone explain {100 * min(share, 1.0):.0f} % of the gain over passage-only."


def _control(summary: RunSummary) -> str:
    control = summary.control_gain
    if control is None:
        return ""
    significant = control.p_value is not None and control.p_value < SUGGESTIVE_P
    if significant and control.gain_percent > 0:
        return f"Caution: the control gained too ({_gain(control)})."
    return f"The control did not gain ({_gain(control)})."


def _joint(summary: RunSummary) -> str:
    """Say what one adapter learned of all passages together."""
    own = [row for row in summary.table if row.group == "cpt" and row.key.startswith("cpt-v") and row.mean_percent is not None]
    if not own:
        return ""
    parts = [f"{_percent(row)} with edits of {f'v{row.policy_version}' if row.policy_version else 'the untrained policy'}" for row in own]
    base = summary.row("cpt-no-update")
    parts += [f"{_percent(base)} without"] if base is not None and base.mean_percent is not None else []
    return f"One adapter for {own[0].num_contexts} passages: {', '.join(parts)}."


def _percent(row: TableRow) -> str:
    return f"{format_percent(row.mean_percent, row.stderr_percent)} %"


def _continual(summary: RunSummary) -> str:
    """Say how much is forgotten when passages are learned one after the other."""
    if not summary.continual:
        return ""
    last = summary.continual[-1]
    forgetting, figures = last.figures.forgetting, last.figures
    if forgetting.mean is None:
        return ""
    fall = format_percent(100 * forgetting.mean, None if forgetting.stderr is None else 100 * forgetting.stderr)
    return (
        f"Learned one after the other ({last.label}), passages lose {fall} points from right after their own edit to the end "
        f"of {figures.length} edits ({forgetting.num} sequences)."
    )


def _retention(summary: RunSummary) -> str:
    before, after = summary.row("retention-v0"), summary.row(f"retention-v{summary.identity.rounds}")
    if before is None or after is None or before is after or before.mean_percent is None or after.mean_percent is None:
        return ""
    figures = f"{before.mean_percent:.1f} % before, {after.mean_percent:.1f} % after"
    if before.mean_percent - after.mean_percent > FORGETTING_PERCENT:
        return f"Caution: the policy forgets known facts ({figures})."
    return f"Known facts were kept ({figures})."


def _gain(gain: PairedGain) -> str:
    t = "" if gain.t_statistic is None else f", t = {gain.t_statistic:.1f}"
    return f"{format_gain(gain)}{t}, {format_p(gain.p_value)}"


def _heldout(summary: RunSummary, version: int) -> TableRow | None:
    return summary.row(f"heldout-v{version}")
