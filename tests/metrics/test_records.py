import json
from pathlib import Path

import pytest

from seal_runtime.metrics.records import read_from, scalars_of

RECORD = {
    "study": "round-2", "purpose": "reward", "policy_version": 1, "num_items": 4, "num_scored": 4, "num_invalid": 0, "num_unparsed": 1,
    "mean_score": 0.5, "score_stderr": None, "seconds": 2.0, "edits_per_hour": 7200.0, "time_shares": {"proposing": 0.25, "waiting": 0.75},
    "texts": {"num_written": 4, "unique_share": 0.75}, "at": 12.5,
}  # fmt: skip


def test_whole_lines_are_read_once_and_a_line_under_way_later(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_from(path, 0) == ([], 0)
    path.write_bytes(b'{"study": "a"}\n{"stu')
    records, offset = read_from(path, 0)
    assert records == [{"study": "a"}]
    assert read_from(path, offset) == ([], offset)
    with path.open("ab") as stream:
        stream.write(b'dy": "b"}\n')
    assert read_from(path, offset)[0] == [{"study": "b"}]


def test_lines_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('broken\n[1]\n{"study": "a"}\n')
    records, offset = read_from(path, 0)
    assert records == [{"study": "a"}]
    assert offset == path.stat().st_size


def test_scalars_lie_on_the_axis_of_the_policy_version() -> None:
    scalars = scalars_of(json.loads(json.dumps(RECORD)))
    assert (scalars.step, scalars.at) == (1, 12.5)
    assert scalars.values["reward/mean_score"] == 0.5
    assert scalars.values["reward/texts/unique_share"] == 0.75
    assert scalars.values["reward/time_shares/waiting"] == 0.75
    assert "reward/score_stderr" not in scalars.values, "what was not measured is no number"


def test_baselines_keep_their_names() -> None:
    scalars = scalars_of(RECORD | {"study": "passage-only", "purpose": "baseline", "texts": None, "time_shares": None})
    assert scalars.values["baseline/passage-only/mean_score"] == 0.5


def test_a_record_of_something_else_is_an_error() -> None:
    with pytest.raises(KeyError):
        scalars_of({"study": "round-1"})


def test_the_forgetting_of_a_continual_study_is_a_curve_over_policy_versions() -> None:
    continual = {"forgetting": {"mean": 0.25, "deviation": None, "stderr": 0.1, "num": 2}, "cells": [], "num_missing": 0}
    scalars = scalars_of(RECORD | {"study": "continual-v1", "purpose": "continual", "continual": continual})
    assert scalars.values["continual/forgetting/mean"] == 0.25
    assert scalars.values["continual/forgetting/stderr"] == 0.1
    assert scalars.values["continual/mean_score"] == 0.5
    assert "reward/forgetting/mean" not in scalars_of(RECORD | {"continual": None}).values
