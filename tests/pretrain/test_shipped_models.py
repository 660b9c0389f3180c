"""The models in the package are those that this code describes, small, loadable and able."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal_runtime.errors import ConfigError
from seal_runtime.models import BUILTIN_MODELS, builtin_model_path
from seal_runtime.pretrain.network import NetworkShape
from seal_runtime.pretrain.worlds import make_world

MODELS = pytest.mark.parametrize("name", BUILTIN_MODELS)
WORLD = {"seal-tiny": "fictional", "seal-tiny-seed1": "fictional", "seal-tiny-grids": "grids"}


@MODELS
def test_shipped_tokenizer_is_the_one_that_the_code_builds(name):
    shipped = Tokenizer.from_file(str(builtin_model_path(name) / "tokenizer.json"))
    assert shipped.to_str() == make_world(WORLD[name]).build_tokenizer().to_str()


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


@pytest.mark.parametrize(
    ("name", "at_least"),
    [
        ("seal-tiny", {"known": 0.97, "open-book": 0.95}),
        ("seal-tiny-seed1", {"known": 0.97, "open-book": 0.95}),
        ("seal-tiny-grids", {"simple": 0.8}),
    ],
)
def test_shipped_model_knows_what_pretraining_taught(name, at_least):
    result = examined(name)
    assert {subject: result[subject] for subject, share in at_least.items() if result[subject] < share} == {}


def test_shipped_grids_model_does_not_know_most_hard_rules():
    assert examined("seal-tiny-grids")["hard"] < 0.5


def examined(name):
    torch.set_num_threads(1)
    folder = builtin_model_path(name)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    weights = {key: tensor.float() for key, tensor in load_file(folder / "model.safetensors").items()}
    return make_world(WORLD[name]).examine(NetworkShape(vocabulary=tokenizer.get_vocab_size()), weights, tokenizer)


@pytest.mark.parametrize(("name", "nearest"), [("seal-tinny", "'seal-tiny'"), ("seal-tiny-seed2", "'seal-tiny-seed1'"), ("", "'seal-tiny")])
def test_unknown_builtin_model_names_the_nearest(name, nearest):
    with pytest.raises(ConfigError, match="did you mean " + nearest):
        builtin_model_path(name)
