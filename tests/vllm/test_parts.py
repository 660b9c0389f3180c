"""What engine vllm does around vLLM itself, which needs no vLLM: arguments, probes, and what a killed process leaves in memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from seal_runtime.engines.vllm_adapters import VllmAdapters
from seal_runtime.engines.vllm_options import allowed_rank, complete_args
from seal_runtime.engines.vllm_prompts import AnswerStops, load_skeleton
from seal_runtime.engines.vllm_receipts import probe_delta
from seal_runtime.errors import ConfigError
from seal_runtime.store import leftovers

MAKE_SCRATCH = (
    "import sys; from pathlib import Path; from seal_runtime.store.leftovers import make_scratch; "
    "print(make_scratch('vllm', Path(sys.argv[1])))"
)


@pytest.mark.parametrize(("rank", "allowed"), [(1, 1), (2, 8), (16, 16), (100, 128), (257, 320), (512, 512)])
def test_ranks_are_rounded_up_to_what_vllm_takes(rank, allowed):
    assert allowed_rank(rank) == allowed


def test_a_stop_character_ends_an_answer_in_whichever_token_it_stands():
    tokenizer = load_skeleton("builtin:seal-tiny", None, 512).tokenizer
    stops = AnswerStops(tokenizer, (1, 0))
    assert stops.tokens("") == [0, 1]
    newlines = stops.tokens("\n")
    assert set(newlines) == {0, 1} | {token for token in range(len(tokenizer)) if "\n" in tokenizer.decode([token])}
    assert newlines == sorted(newlines)
    assert stops.tokens("#") != newlines


@pytest.mark.parametrize("rank", [0, 513])
def test_other_ranks_are_refused(rank):
    with pytest.raises(ConfigError, match="from 1 to 512"):
        allowed_rank(rank)


def test_given_arguments_win_and_others_have_defaults_for_the_device():
    given = {"max_loras": 3, "block_size": 16, "anything": "verbatim"}
    cpu = complete_args(given, dtype="float32", device="cpu", max_batch_rows=7)
    assert (cpu["block_size"], cpu["anything"], cpu["max_num_seqs"], cpu["enforce_eager"]) == (16, "verbatim", 7, True)
    assert (cpu["max_loras"], cpu["max_cpu_loras"]) == (4, 16)
    gpu = complete_args(given, dtype="bfloat16", device="cuda", max_batch_rows=7)
    assert gpu["max_loras"] == 3
    assert "kv_cache_memory_bytes" not in gpu


def test_folders_of_killed_processes_are_removed_and_those_in_use_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "_MEMORY", tmp_path)
    killed = subprocess.run([sys.executable, "-c", MAKE_SCRATCH, str(tmp_path)], capture_output=True, text=True, check=True)
    abandoned = Path(killed.stdout.strip())
    assert abandoned.is_dir()
    first = VllmAdapters(None, {}, 8)
    second = VllmAdapters(None, {}, 8)
    assert not abandoned.exists()
    assert len(list(tmp_path.iterdir())) == 2
    first.close()
    second.close()
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_probe_delta_is_the_largest_change_and_a_bound_for_tokens_that_one_side_lacks():
    assert probe_delta({1: -0.5, 2: -1.0}, {1: -0.5, 2: -1.0}) == 0.0
    assert probe_delta({1: -0.5, 2: -1.0}, {1: -0.75, 2: -1.125}) == 0.25
    assert probe_delta({1: -0.5, 2: -1.0}, {1: -0.5, 3: -3.0}) == 2.0
    assert probe_delta({1: -0.5, 2: -float("inf")}, {1: -0.5, 2: -float("inf")}) == 0.0
