"""The generation benchmark on a tiny model, and the judgement whether a difference between two engines was a tie."""

import importlib.util
import json
import math

import pytest
import torch
from typer.testing import CliRunner

from seal_runtime.bench.answering import answer_all
from seal_runtime.bench.edits import edits_of_world
from seal_runtime.bench.generation import VLLM_MISSING, usable_engines
from seal_runtime.bench.generation_adapters import AdaptedEdit, adapted_edits, draw_adapters, unseen_copies
from seal_runtime.bench.generation_agreement import greedy_agreement, log_probability_gap
from seal_runtime.bench.generation_arms import Answered
from seal_runtime.bench.generation_figures import answer_arms
from seal_runtime.bench.generation_results import PEFT_GENERATE
from seal_runtime.cli.app import app
from seal_runtime.config.hyperparameters import LoraConfig
from seal_runtime.engines.adapter_files import read_adapter
from seal_runtime.engines.factory import make_generation_engine
from seal_runtime.engines.model_loading import load_model
from seal_runtime.errors import ConfigError
from seal_runtime.store.adapters import adapter_sha256

MODEL = "random:tiny-llama"
QUESTIONS = ("Who?", "Where is the river?", "What for?")


def hide_vllm(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "vllm" else find_spec(name, *rest))


@pytest.fixture
def edits(tmp_path) -> list[AdaptedEdit]:
    """Three adapters with an effect, three questions each."""
    scripted = edits_of_world(3)
    draw_adapters(load_model(MODEL), scripted, LoraConfig(rank=4, alpha=8.0).spec(), tmp_path / "adapters")
    return [
        AdaptedEdit(edit_id=edit.edit_id, folder=edit.folder, prompts=QUESTIONS)
        for edit in adapted_edits(scripted, tmp_path / "adapters", None)
    ]


@pytest.fixture
def requests(edits):
    return [edit.request(6) for edit in edits]


@pytest.fixture
def outputs(requests):
    return answer_all(make_generation_engine("transformers", model=MODEL), requests, 2)


def test_arms_of_all_numbers_of_adapters_run_and_agree_with_peft():
    options = ["--adapters", "1,3", "--questions", "2", "--repeats", "2", "--max-new-tokens", "4", "--engines", "transformers"]
    done = CliRunner().invoke(app, ["bench", "generation", "--model", MODEL, *options, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    arms = result["answering"]
    assert [(arm["engine"], arm["num_adapters"]) for arm in arms] == [(PEFT_GENERATE, 1), ("transformers", 1), ("transformers", 3)]
    assert [(arm["num_equal"], arm["num_compared"]) for arm in arms] == [(0, 0), (6, 6), (6, 6)]
    assert all(len(arm["repeat_seconds"]) == 2 and arm["tokens_per_second"] > 0 for arm in arms)
    assert arms[0]["times_peft"] == 1.0
    assert result["sampling"][0]["num_edits"] == 40
    assert result["agreement"] is None
    assert (result["num_edits"], result["num_questions"]) == (3, 6)


def test_the_table_names_the_machine_and_what_is_not_installed(monkeypatch):
    hide_vllm(monkeypatch)
    options = ["--adapters", "1", "--questions", "1", "--repeats", "1", "--max-new-tokens", "2", "--skip-reference"]
    done = CliRunner().invoke(app, ["bench", "generation", "--model", MODEL, *options])
    assert done.exit_code == 0, done.output
    assert "TFLOP/s" in done.stdout
    assert "drawn at random" in done.stdout
    assert VLLM_MISSING in done.stdout
    assert PEFT_GENERATE not in done.stdout


def test_engines_that_are_not_there_are_errors_only_when_nothing_else_was_asked_for(monkeypatch):
    hide_vllm(monkeypatch)
    assert usable_engines(("vllm", "transformers")) == (("transformers",), (VLLM_MISSING,))
    with pytest.raises(ConfigError, match="make test-vllm"):
        usable_engines(("vllm",))
    with pytest.raises(ConfigError, match="got 'sglang'"):
        usable_engines(("sglang",))
    with pytest.raises(ConfigError, match="--engines"):
        usable_engines(())


def test_copies_hold_the_same_adapter_under_a_hash_of_their_own(edits, tmp_path):
    first, second = unseen_copies(edits, tmp_path / "first"), unseen_copies(edits, tmp_path / "second")
    hashes = {adapter_sha256(edit.folder) for edit in (*edits, *first, *second)}
    assert len(hashes) == 9
    one, copy = read_adapter(edits[0].folder), read_adapter(second[0].folder)
    assert all(torch.equal(one.factors[name][0], copy.factors[name][0]) for name in one.factors)


def test_equal_answers_agree_without_a_gap(requests, outputs):
    again = answer_all(make_generation_engine("transformers", model=MODEL), requests, 1)
    found = greedy_agreement(load_model(MODEL), requests, outputs, again)
    assert (found.num_compared, found.num_equal, found.largest_gap) == (9, 9, 0.0)


def test_the_answers_of_another_adapter_are_no_tie(edits, requests, outputs):
    swapped = [
        AdaptedEdit(edit_id=edit.edit_id, folder=other.folder, prompts=QUESTIONS) for edit, other in zip(edits, edits[::-1], strict=True)
    ]
    wrong = answer_all(make_generation_engine("transformers", model=MODEL), [edit.request(6) for edit in swapped], 2)
    found = greedy_agreement(load_model(MODEL), requests, wrong, outputs)
    assert found.num_equal < found.num_compared
    assert found.largest_gap > 1e-2


def test_the_gap_is_that_of_the_two_tokens_where_the_answers_part():
    class Model(torch.nn.Linear):
        def forward(self, input_ids, use_cache):
            self.seen = input_ids.tolist()
            logits_1TV = torch.zeros(1, input_ids.shape[1], 4)
            logits_1TV[0, -1] = torch.tensor([0.0, 3.0, 2.5, -1.0])
            return type("Output", (), {"logits": logits_1TV})

    model = Model(1, 1)
    gap = log_probability_gap(model, [7, 8], (3, 1, 0), (3, 2, 0))
    assert model.seen == [[7, 8, 3]]
    assert math.isclose(gap, 0.5, abs_tol=1e-6)


def test_figures_are_medians_and_compare_with_peft():
    def answered(seconds, *texts):
        return Answered(seconds=seconds, num_tokens=10, answers={"a": texts}, outputs={})

    measured = {
        ("vllm", 2): [answered(4.0, "x", "n"), answered(1.0, "x", "n"), answered(2.0, "x", "n")],
        (PEFT_GENERATE, 1): [answered(9.0, "x", "y"), answered(8.0, "x", "y"), answered(5.0, "x", "y")],
    }
    peft, vllm = answer_arms(measured, num_edits=2, num_questions=4)
    assert (peft.engine, peft.seconds_an_edit, peft.times_peft, peft.num_compared) == (PEFT_GENERATE, 4.0, 1.0, 0)
    assert (vllm.engine, vllm.seconds_an_edit, vllm.times_peft) == ("vllm", 1.0, 4.0)
    assert (vllm.questions_per_second, vllm.tokens_per_second, vllm.repeat_seconds) == (2.0, 5.0, (2.0, 0.5, 1.0))
    assert (vllm.num_equal, vllm.num_compared) == (1, 2)
