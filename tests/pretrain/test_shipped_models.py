"""The models in the package are those that this code describes, small, loadable and able."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal_runtime.errors import ConfigError
from seal_runtime.models import BUILTIN_MODELS, builtin_model_path
from seal_runtime.pretrain.examination import examine
from seal_runtime.pretrain.network import NetworkShape
from seal_runtime.pretrain.vocabulary import build_tokenizer

MODELS = pytest.mark.parametrize("name", BUILTIN_MODELS)


@MODELS
def test_shipped_tokenizer_is_the_one_that_the_code_builds(name):
    shipped = Tokenizer.from_file(str(builtin_model_path(name) / "tokenizer.json"))
    assert shipped.to_str() == build_tokenizer().to_str()


@MODELS
def test_shipped_model_loads_in_transformers(name):
    folder = builtin_model_path(name)
    model = AutoModelForCausalLM.from_pretrained(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.dtype == torch.float16
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.eos_token_id == tokenizer.eos_token_id == 0


@MODELS
def test_shipped_model_is_small_and_has_a_card(name):
    folder = builtin_model_path(name)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_200_000
    card = (folder / "README.md").read_text()
    assert "apache-2.0" in card
    assert f"--out {name}" in card
    assert "/" not in json.loads((folder / "config.json").read_text()).get("_name_or_path", "")


@MODELS
def test_shipped_model_knows_its_facts_and_reads_passages(name):
    torch.set_num_threads(1)
    folder = builtin_model_path(name)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    weights = {key: tensor.float() for key, tensor in load_file(folder / "model.safetensors").items()}
    result = examine(NetworkShape(vocabulary=tokenizer.get_vocab_size()), weights, tokenizer, num_known_entities=40)
    assert result.known >= 0.97
    assert result.open_book >= 0.95


@pytest.mark.parametrize(("name", "nearest"), [("seal-tinny", "'seal-tiny'"), ("seal-tiny-seed2", "'seal-tiny-seed1'"), ("", "'seal-tiny")])
def test_unknown_builtin_model_names_the_nearest(name, nearest):
    with pytest.raises(ConfigError, match="did you mean " + nearest):
        builtin_model_path(name)
