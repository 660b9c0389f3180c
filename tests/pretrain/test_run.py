"""One command makes a whole model folder, and nothing half-written."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal_runtime.pretrain.report import Score
from seal_runtime.pretrain.run import pretrain
from seal_runtime.pretrain.verification import VerificationSize, _score

SMALL = VerificationSize(num_known_entities=1, num_open_book=2, num_sampled_passages=1, num_samples=1, num_adapted_passages=2)


def test_pretraining_writes_a_folder_that_transformers_loads(tmp_path):
    statuses = []
    report = pretrain(tmp_path / "model", seed=4, steps=2, threads=1, on_progress=statuses.append, size=SMALL)
    assert [status.step for status in statuses] == [1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"model"}
    model = AutoModelForCausalLM.from_pretrained(str(report.folder))
    tokenizer = AutoTokenizer.from_pretrained(str(report.folder))
    assert model.dtype == torch.float16
    assert model.config.vocab_size == len(tokenizer)
    assert json.loads((report.folder / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    assert sum(path.stat().st_size for path in report.folder.iterdir()) < 3_000_000
    card = (report.folder / "README.md").read_text()
    assert "apache-2.0" in card
    assert "--seed 4 --steps 2" in card
    assert set(report.verification.after_edit) == {
        "no update",
        "passage only",
        "qa",
        "atomic",
        "rewrite",
        "copy",
        "vague",
        "partial",
        "wrong",
    }


def test_a_folder_with_files_in_it_is_refused(tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="new or empty folder"):
        pretrain(tmp_path, seed=0, steps=1, threads=1, on_progress=lambda _: None, size=SMALL)
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_score_is_mean_and_standard_error():
    score = _score([0.0, 0.5, 1.0, 0.5])
    assert (score.mean, score.count) == (0.5, 4)
    assert score.standard_error == pytest.approx((1 / 6) ** 0.5 / 2)
    assert str(Score(mean=0.5, standard_error=0.1, count=4)) == "50.0 ± 10.0 (n = 4)"
