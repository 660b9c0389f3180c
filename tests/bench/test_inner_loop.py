"""The whole inner-loop benchmark on a tiny model, through the command line."""

import json

from safetensors.torch import load_file
from typer.testing import CliRunner

from seal_runtime.bench.edits import edits_of_world
from seal_runtime.bench.parity import relative_delta_error
from seal_runtime.bench.peft_loop import release, train_peft_loop
from seal_runtime.bench.stand_in_tokenizer import CHARACTERS_A_TOKEN, with_stand_in_tokenizer
from seal_runtime.cli.app import app
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.reference import train_reference
from seal_runtime.errors import ConfigError

TINY = [
    "bench",
    "inner-loop",
    "--model",
    "random:tiny-llama",
    "--epochs",
    "1",
    "--max-length",
    "64",
    "--lora-rank",
    "4",
    "--num-edits",
    "4",
]


def test_all_arms_run_on_the_same_edits_and_agree(edits_file):
    options = ["--edits", str(edits_file), "--serial-edits", "2", "--slots", "1,4,9", "--answers", "--max-new-tokens", "4", "--json"]
    done = CliRunner().invoke(app, [*TINY, *options])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert [arm["name"] for arm in result["arms"]] == [
        "reference",
        "reference, no padding",
        "PEFT loop, no padding",
        "batched, K = 1",
        "batched, K = 4",
    ]
    assert [arm["num_measured"] for arm in result["arms"]] == [2, 2, 2, 4, 4]
    assert result["parity"]["median_error"] < 1e-5
    assert result["answers_equal"] == result["answers_compared"] == 2
    assert "K = 9 left out" in done.stderr


def test_the_table_names_what_was_measured_and_the_reference_can_be_skipped():
    done = CliRunner().invoke(app, [*TINY, "--slots", "2", "--skip-reference"])
    assert done.exit_code == 0, done.output
    assert "batched, K = 2" in done.stdout
    assert "reference, no padding" not in done.stdout
    assert "LoRA r=4" in done.stdout
    assert "parity: not asked for" in done.stdout


def test_padding_that_the_reference_cannot_sample_is_timed_without_parity():
    done = CliRunner().invoke(app, [*TINY, "--slots", "2", "--serial-edits", "1", "--pad-loss", "sampled:2"])
    assert done.exit_code == 0, done.output
    assert "batched, K = 2" in done.stdout
    assert "no sampled padding" in done.stdout


def test_slots_that_are_no_numbers_are_refused():
    done = CliRunner().invoke(app, [*TINY, "--slots", "1,many"])
    assert isinstance(done.exception, ConfigError)
    assert "--slots" in str(done.exception)


def test_the_loop_by_hand_is_the_reference_without_padding(jobs, tmp_path):
    loaded = load_model("random:tiny-llama")
    job = jobs[0]
    reference = train_reference(loaded, job.into(tmp_path / "reference").request)
    ours = job.into(tmp_path / "loop").request
    release(loaded, train_peft_loop(loaded, ours))
    trained = load_file(ours.output_dir / "adapter_model.safetensors")
    assert relative_delta_error(trained, reference) < 1e-5


def test_the_stand_in_tokenizer_gives_texts_the_length_of_a_real_one():
    edits = edits_of_world(60)
    loaded = with_stand_in_tokenizer(load_model("random:seal-tiny"), edits)
    texts = [sequence.completion for edit in edits for sequence in edit.sequences]
    num_tokens = sum(len(loaded.tokenizer(text).input_ids) for text in texts)
    assert sum(map(len, texts)) / num_tokens <= CHARACTERS_A_TOKEN
    assert len(loaded.tokenizer) <= loaded.model.config.vocab_size
    assert loaded.eos_token_id in loaded.stop_token_ids
    assert loaded.tokenizer.decode(loaded.tokenizer(texts[0]).input_ids) == texts[0]


def test_a_vocabulary_too_small_for_a_stand_in_keeps_its_tokenizer():
    loaded = load_model("random:tiny-gpt2")
    assert with_stand_in_tokenizer(loaded, edits_of_world(5)) is loaded
