"""The benchmark against the published code, small."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seal_runtime.cli.app import app
from seal_runtime.errors import AdaptError

SMALL = ["--model", "random:tiny-llama", "--num-edits", "6", "--serial-edits", "2", "--slots", "4", "--epochs", "2", "--max-length", "128"]


def test_both_schedules_score_the_same_edits(edits_file: Path) -> None:
    arguments = ["bench", "reference", *SMALL, "--edits", str(edits_file), "--max-new-tokens", "4", "--pad-loss", "none,sampled:2,full"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    reference, *ours = result["arms"]
    assert (reference["name"], reference["pad_loss"], reference["times_reference"]) == ("reference", "full", 1.0)
    assert [arm["pad_loss"] for arm in ours] == ["none", "sampled:2", "full"]
    assert (reference["num_measured"], [arm["num_measured"] for arm in ours]) == (2, [6, 6, 6])
    stages = reference["train_seconds"] + reference["answer_seconds"] + reference["grade_seconds"]
    assert reference["seconds"] == pytest.approx(stages)
    for arm in result["arms"]:
        assert arm["times_reference"] == pytest.approx(reference["seconds"] / arm["seconds"])
        assert result["edits_per_hour"][arm["name"]] == pytest.approx(3600 / arm["seconds"])
    assert reference["grader_calls"] == 2.0, "one question, without and with the adapter"
    assert all(0 < arm["grader_calls"] < 1.7 for arm in ours), "six answers and four baselines for six edits"
    text = CliRunner().invoke(app, [*arguments[:-1], "none"])
    assert "edits/h" in text.stdout
    assert "with the padding in the loss" in text.stdout


def test_a_slow_grader_costs_the_serial_schedule_each_of_its_calls(edits_file: Path) -> None:
    arguments = ["bench", "reference", *SMALL, "--edits", str(edits_file), "--max-new-tokens", "4", "--pad-loss", "none"]
    done = CliRunner().invoke(app, [*arguments, "--grader-latency", "0.05", "--json"])
    assert done.exit_code == 0, done.output
    reference = json.loads(done.stdout)["arms"][0]
    assert reference["grade_seconds"] >= 0.05 * reference["grader_calls"] * 0.99


def test_an_unknown_mode_is_refused_before_anything_is_loaded() -> None:
    done = CliRunner().invoke(app, ["bench", "reference", *SMALL, "--pad-loss", "half"])
    assert isinstance(done.exception, AdaptError)
