"""What the terminal shows: complete, readable at 80 columns, and never steered by what a model wrote."""

import dataclasses
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console, RenderableType

from seal_runtime.report.model import PairedGain, RunSummary
from seal_runtime.report.table import render_best_and_worst, render_table, render_verdict
from seal_runtime.report.verdict import format_p, verdict

Builder = Any
Summarise = Callable[[Builder], RunSummary]


def _text(renderable: RenderableType, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=False, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _with_gain(summary: RunSummary, **changes: Any) -> RunSummary:
    gain = PairedGain(
        first_version=0, last_version=2, gain_percent=28.7, stderr_percent=4.0, t_statistic=7.2, p_value=1e-6, num_contexts=36
    )
    return dataclasses.replace(summary, gain=dataclasses.replace(gain, **changes))


def test_table_fits_80_columns_and_names_every_row(complete_run: Builder, summary_of: Summarise) -> None:
    text = _text(render_table(summary_of(complete_run)))
    assert max(len(line) for line in text.splitlines()) <= 80
    for expected in ("no update", "passage only, as many steps as edits", "own edits, untrained policy", "25.0 ± 7.2", "79.2 ± 11.0"):
        assert expected in text
    for line in text.splitlines():
        if line.startswith("own edits, after round 2"):
            assert line.split()[-2:] == ["3", "6"]


def test_missing_figures_are_dashes_with_a_note(builder: Builder, summary_of: Summarise) -> None:
    text = _text(render_table(summary_of(builder)))
    assert "—" in text
    assert "no update: not measured" in text


def test_best_and_worst_show_edit_reward_and_answers(complete_run: Builder, summary_of: Summarise) -> None:
    text = _text(render_best_and_worst(summary_of(complete_run)))
    assert max(len(line) for line in text.splitlines()) <= 80
    for expected in (
        "Best self-edit",
        "reward 1.00",
        "edit 2 c0 1",
        "Worst self-edit",
        "0 of 4 questions right",
        "expected gold",
        "what is 3?",
    ):
        assert expected in text


def test_model_output_is_neither_markup_nor_terminal_control(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", ["[bold red]loud[/] \x1b[2J\x1b]0;owned\x07 \u202eevil"])
    builder.grade("round-1", "c0", 0, 4)
    text = _text(render_best_and_worst(summary_of(builder)))
    assert "[bold red]loud[/]" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_no_scored_edit_is_said_so(builder: Builder, summary_of: Summarise) -> None:
    assert "No self-edit has been scored yet." in _text(render_best_and_worst(summary_of(builder)))


def test_verdict_of_a_significant_gain_names_figures_and_steps(complete_run: Builder, summary_of: Summarise) -> None:
    text = verdict(_with_gain(summary_of(complete_run)))
    assert text.startswith("The model learned to teach itself: held-out accuracy went from 25.0 ± 7.2 to 79.2 ± 11.0 %")
    assert "paired gain +28.7 ± 4.0, t = 7.2, p < 0.0001 over 36 passages" in text
    assert "explain 24 % of the gain over passage-only" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"p_value": 0.4}, "No significant change"),
        ({"p_value": 0.03}, "probably learned"),
        ({"gain_percent": -20.0}, "got worse"),
        ({"num_contexts": 3}, "Too few held-out passages"),
        ({"p_value": None, "t_statistic": None}, "Too few held-out passages"),
    ],
)
def test_verdict_claims_no_more_than_was_shown(
    complete_run: Builder, summary_of: Summarise, changes: dict[str, Any], expected: str
) -> None:
    text = verdict(_with_gain(summary_of(complete_run), **changes))
    assert expected in text
    assert "The model learned to teach itself:" not in text


def test_verdict_of_an_incomplete_run_says_so(builder: Builder, summary_of: Summarise) -> None:
    builder.meta |= {"phase": "failed", "reason": "disk full"}
    text = verdict(summary_of(builder))
    assert text.startswith("The run is not complete, 0 of 2 rounds are scored (phase failed: disk full).")
    assert "Nothing can be said about learning" in text


def test_verdict_warns_of_forgetting_and_of_a_control_that_gained(complete_run: Builder, summary_of: Summarise) -> None:
    summary = _with_gain(summary_of(complete_run))
    summary = dataclasses.replace(summary, control_gain=summary.gain)
    assert "Caution: the control gained too" in verdict(summary)
    assert "Caution: the policy forgets known facts (100.0 % before, 75.0 % after)." in verdict(summary)
    calm = dataclasses.replace(summary, control_gain=dataclasses.replace(summary.gain, gain_percent=1.3, p_value=0.6, t_statistic=0.5))
    assert "The control did not gain (+1.3 ± 4.0, t = 0.5, p = 0.6)." in _text(render_verdict(calm), width=1000)


def test_small_p_values_are_bounded_not_zero() -> None:
    assert format_p(0.0132) == "p = 0.013"
    assert format_p(0.0) == "p < 0.0001"
