"""Check the model of a topology from its files alone: is it there, is it whole, does what is asked of it fit its context."""

import json
import struct
from pathlib import Path

from seal_runtime.config.findings import Findings
from seal_runtime.config.machine import cached_model_folder, hub_is_offline
from seal_runtime.config.problems import nearest
from seal_runtime.config.references import model_reference
from seal_runtime.config.topology import Topology
from seal_runtime.errors import ConfigError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
MAX_HEADER_BYTES = 100_000_000
# Families whose checkpoint keys are their module names, so that a target can be looked up without building the model.
FAMILIES_WITH_PLAIN_KEYS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gpt2")


def check_model(topology: Topology, findings: Findings, *, require_hub: bool) -> None:
    """Find the model's folder and check its files against the rest of the topology."""
    try:
        folder = _folder(topology, findings, require_hub=require_hub)
    except ConfigError as error:
        findings.error("model.path", str(error))
        return
    if folder is None:
        return
    config = _config(folder, findings)
    if config is not None:
        _check_context(topology, config, findings)
        _check_targets(topology, folder, config, findings)


def _folder(topology: Topology, findings: Findings, *, require_hub: bool) -> Path | None:
    """Return the folder with the model's files, None when there is none to look into yet."""
    reference = model_reference(topology.model.path)
    if reference.kind == "builtin":
        from seal_runtime.models import builtin_model_path

        return builtin_model_path(reference.name)
    if reference.kind == "random":
        findings.warn("model.path", "random weights: good for timing, every answer will be noise")
        return None
    if reference.kind == "local":
        folder = Path(reference.name)
        _check_folder(folder)
        return folder
    return _cached(topology, reference.name, findings, require_hub=require_hub)


def _cached(topology: Topology, name: str, findings: Findings, *, require_hub: bool) -> Path | None:
    folder = cached_model_folder(name, topology.model.revision)
    if folder is not None:
        return folder
    if hub_is_offline():
        message = f"expected {name} in the hub cache, because HF_HUB_OFFLINE is set, found none; download it first or name a local folder"
        findings.machine("model.path", message, required=require_hub)
    else:
        findings.warn("model.path", f"{name} is not in the hub cache; it is downloaded when the first agent starts")
    return None


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(f"expected a model folder at {folder}, found none; relative paths start at the working directory {Path.cwd()}")
    wanted = {
        "config.json": (folder / "config.json").is_file(),
        "weights (*.safetensors)": any(folder.glob("*.safetensors")),
        f"a tokenizer ({', '.join(TOKENIZER_FILES)})": any((folder / name).is_file() for name in TOKENIZER_FILES),
    }
    missing = [name for name, found in wanted.items() if not found]
    if missing:
        raise ConfigError(f"expected a Hugging Face model in {folder}, it lacks {' and '.join(missing)}; save it with save_pretrained")


def _config(folder: Path, findings: Findings) -> dict[str, object] | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        findings.error("model.path", f"expected JSON in {folder / 'config.json'}, got: {error}")
        return None
    if not isinstance(config, dict):
        findings.error("model.path", f"expected an object in {folder / 'config.json'}, got {type(config).__name__}")
        return None
    return config


def _check_context(topology: Topology, config: dict[str, object], findings: Findings) -> None:
    context = config.get("max_position_embeddings") or config.get("n_positions")
    if not isinstance(context, int):
        return
    generated = {
        "proposer.sampling.max_new_tokens": topology.proposer.sampling.max_new_tokens,
        "evaluator.max_new_tokens": topology.evaluator.max_new_tokens,
    }
    for key, tokens in generated.items():
        if tokens >= context:
            findings.warn(key, f"{tokens} new tokens leave no room for a prompt, the model's context is {context}; ask for fewer")
    trained = {
        "trainer.optim.max_length": topology.trainer.optim.max_length,
        "algorithm.optim.max_length": topology.algorithm.optim.max_length,
    }
    for key, tokens in trained.items():
        if tokens > context:
            findings.warn(key, f"{tokens} tokens are more than the model's context, {context}; sequences are cut there and counted")


def _check_targets(topology: Topology, folder: Path, config: dict[str, object], findings: Findings) -> None:
    if config.get("model_type") not in FAMILIES_WITH_PLAIN_KEYS:
        return
    modules = _module_suffixes(folder)
    for key, lora in {"trainer.lora.targets": topology.trainer.lora, "algorithm.lora.targets": topology.algorithm.lora}.items():
        for target in lora.targets if modules else ():
            if target.rpartition(".")[2] not in modules:
                guess = nearest(target, sorted(modules))
                hint = f"; did you mean {guess}?" if guess else f" (it has {', '.join(sorted(modules))})"
                findings.error(key, f"expected modules of the model, got {target!r}{hint}")


def _module_suffixes(folder: Path) -> set[str]:
    """Return the last names of the modules that have weights, from the headers of the weight files; empty when unreadable."""
    keys: list[str] = []
    for path in folder.glob("*.safetensors"):
        try:
            keys += _tensor_names(path)
        except (OSError, ValueError, struct.error):
            return set()
    return {key.split(".")[-2] for key in keys if key.count(".") >= 1 and key.endswith(".weight")}


def _tensor_names(path: Path) -> list[str]:
    """Return the tensor names of a safetensors file: eight bytes of header length, then JSON."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"{path}: expected a header of at most {MAX_HEADER_BYTES} bytes, got {length}")
        header = json.loads(file.read(length))
    return [name for name in header if name != "__metadata__"] if isinstance(header, dict) else []
