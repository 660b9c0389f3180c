"""Fold a policy into the weights that vLLM serves: a reload from a folder that is written for it, in memory where there is room.

Invariant: the served weights are a function of the base files and the chain alone; each fold starts from the base's own files, so going
back to an older policy is bit-exact. A reload drops all adapters and outdates the prefix cache: nobody may be generating meanwhile.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from seal_runtime.engines.adapter_files import LoraAdapter, check_fits, read_adapter_with_hash
from seal_runtime.engines.policy_folding import folded_weight
from seal_runtime.engines.vllm_driver import VllmDriver
from seal_runtime.errors import ConfigError, EngineDiedError, GenerateError, StoreError


class VllmPolicy:
    """Knows which chain is folded in. `scratch` is a folder in memory for the weights on their way; without room there, the disk serves."""

    def __init__(self, vllm: VllmDriver, base: Path, shapes: Mapping[str, tuple[int, int]], scratch: Path) -> None:
        self._vllm = vllm
        self._base = base
        self._shapes = shapes
        self._scratch = scratch
        self.chain: tuple[Path, ...] = ()
        self.sha256s: tuple[str, ...] = ()

    def fold(self, chain: tuple[Path, ...]) -> None:
        """Make the weights base + chain. Raises StoreError or ReceiptError, and then the weights are what they were."""
        if chain == self.chain:
            return
        read = [read_adapter_with_hash(folder) for folder in chain]
        adapters = [adapter for adapter, _ in read]
        for adapter, folder in zip(adapters, chain, strict=True):
            check_fits(adapter, self._shapes, str(folder))
        if not adapters:
            self._reload(self._base)
        else:
            files = sorted(self._base.glob("*.safetensors"))
            if not files:
                raise GenerateError(
                    f"{self._base} holds no *.safetensors file to fold the policy into: save the model with save_pretrained"
                )
            with tempfile.TemporaryDirectory(prefix="policy-", dir=_roomy_folder(self._scratch, files)) as folded:
                for file in files:
                    _write_folded(file, Path(folded) / file.name, adapters)
                self._reload(Path(folded))
        self.chain, self.sha256s = chain, tuple(sha256 for _, sha256 in read)

    def _reload(self, folder: Path) -> None:
        self.chain = (folder,)  # whatever happens now, it is no policy that anybody asks for
        try:
            self._vllm.reload_weights(str(folder))
        except EngineDiedError:
            raise
        except (ValueError, KeyError, RuntimeError) as error:
            raise GenerateError(f"vLLM did not take the policy's weights: {' '.join(str(error).split())[:300]}") from error


def base_folder(path: str, revision: str | None) -> Path:
    """Return the folder of a local model or of a hub model that vLLM has just downloaded. Raises ConfigError."""
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(path, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"the files of {path!r} are not in the cache of Hugging Face's hub, which policy updates are folded into"
        ) from error


def _roomy_folder(scratch: Path, files: list[Path]) -> Path:
    """Return `scratch` when it has twice the room that the files need, else the folder for temporary files."""
    needed = 2 * sum(file.stat().st_size for file in files)
    return scratch if shutil.disk_usage(scratch).free > needed else Path(tempfile.gettempdir())


def _write_folded(source: Path, target: Path, adapters: list[LoraAdapter]) -> None:
    """Write a weight file with the adapters added to the layers that it holds. Raises StoreError."""
    try:
        with safe_open(source, framework="pt") as file:
            tensors = {key: folded_weight(file.get_tensor(key), key.removesuffix(".weight"), adapters) for key in file.keys()}  # noqa: SIM118
        save_file(tensors, target, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise StoreError(f"cannot write the policy's weights to {target}: {error}; is there room in memory or on disk?") from error
