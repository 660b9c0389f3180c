"""One command makes a whole model folder, and nothing half-written."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal_runtime.errors import ConfigError
from seal_runtime.pretrain.fictional_world import FictionalWorld
from seal_runtime.pretrain.grid_verification import GridVerificationSize
from seal_runtime.pretrain.grid_world import GridWorld
from seal_runtime.pretrain.report import Score
from seal_runtime.pretrain.run import pretrain
from seal_runtime.pretrain.verification import VerificationSize, _score
from seal_runtime.pretrain.worlds import make_world

SMALL = VerificationSize(num_known_entities=1, num_open_book=2, num_sampled_passages=1, num_samples=1, num_adapted_passages=2)
SMALL_GRIDS = GridVerificationSize(num_puzzles=4, num_edits=2)


WORLDS = pytest.mark.parametrize(
    ("world", "rows"),
    [
        (FictionalWorld(SMALL), ["no update", "passage only", "qa", "atomic", "rewrite", "copy", "vague", "partial", "wrong"]),
        (GridWorld(SMALL_GRIDS), ["simple rules", "hard rules"]),
    ],
    ids=["fictional", "grids"],
)


@WORLDS
def test_pretraining_writes_a_folder_that_transformers_loads(tmp_path, world, rows):
    statuses = []
    pretrain(world, tmp_path / "model", seed=4, steps=2, threads=1, on_progress=statuses.append)
    assert [status.step for status in statuses] == [1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"model"}
    model = AutoModelForCausalLM.from_pretrained(str(tmp_path / "model"))
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "model"))
    assert model.dtype == torch.float16
    assert model.config.vocab_size == len(tokenizer)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    assert sum(path.stat().st_size for path in (tmp_path / "model").iterdir()) < 3_000_000
    card = (tmp_path / "model" / "README.md").read_text()
    assert "apache-2.0" in card
    assert "--seed 4 --steps 2" in card
    assert [row for row in rows if f"| {row}" not in card] == []


def test_a_folder_with_files_in_it_is_refused(tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="new or empty folder"):
        pretrain(FictionalWorld(SMALL), tmp_path, seed=0, steps=1, threads=1, on_progress=lambda _: None)
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_an_unknown_world_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="fictional, grids, got 'grid'"):
        make_world("grid")


def test_score_is_mean_and_standard_error():
    score = _score([0.0, 0.5, 1.0, 0.5])
    assert (score.mean, score.count) == (0.5, 4)
    assert score.standard_error == pytest.approx((1 / 6) ** 0.5 / 2)
    assert str(Score(mean=0.5, standard_error=0.1, count=4)) == "50.0 ± 10.0 (n = 4)"
