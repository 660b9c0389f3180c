"""Benchmark edits come from files as published, or from the built-in world."""

import json
from pathlib import Path

import pytest

from seal_runtime.bench.edits import edits_from_file, edits_of_world, own_edits
from seal_runtime.config.hyperparameters import SamplingConfig
from seal_runtime.engines.fake import FakeGenerationEngine
from seal_runtime.errors import DataError

PUBLISHED = [path for path in [Path("../shared/data/seal-knowledge/iter0_train.json")] if path.is_file()]


def test_edits_of_a_file_alternate_between_passages_and_are_parsed_as_the_task_does(edits_file):
    edits = edits_from_file(edits_file, 5)
    texts = [[sequence.completion for sequence in edit.sequences] for edit in edits]
    assert texts[0] == ["Town 0\n1. Town 0 has a river.", "Town 0\n2. It is river 0.", "Town 0\nTown 0 lies by river 0."]
    assert [text[-1] for text in texts] == [f"Town {index}\nTown {index} lies by river {index}." for index in (0, 1, 2, 3, 0)]
    assert edits[1].prompts[0].endswith("Topic: Town 1\nWhich river?\nAnswer:\n")


def test_a_file_without_self_edits_is_refused_with_what_is_missing(edits_file):
    rows = json.loads(edits_file.read_text())
    for row in rows:
        del row["completions"]
    edits_file.write_text(json.dumps(rows))
    with pytest.raises(DataError, match="completions"):
        edits_from_file(edits_file, 2)


def test_edits_of_the_world_are_varied_and_the_same_every_time():
    edits = edits_of_world(200)
    assert len({edit.edit_id for edit in edits}) == 200
    assert edits == edits_of_world(200)
    assert len({len(edit.sequences) for edit in edits}) > 3
    assert all(len(edit.prompts) == 12 for edit in edits)


def test_own_edits_are_what_the_engine_writes():
    edits = own_edits(FakeGenerationEngine(), SamplingConfig().spec(), 12)
    assert len(edits) == 12
    assert all(edit.sequences for edit in edits)


@pytest.mark.parametrize("path", PUBLISHED)
def test_the_published_edits_have_the_lengths_that_were_counted(path):
    edits = edits_from_file(path, 10_000)
    assert len(edits) == 1000
    assert sum(len(edit.sequences) for edit in edits) / len(edits) == pytest.approx(9.0, abs=0.1)
