"""What this machine has: GPUs, installed engines, the hub cache. The only place of the configuration that reads the environment."""

import importlib.util
import os
import re
import subprocess
from pathlib import Path

NVIDIA_SMI_TIMEOUT_SECONDS = 30.0
OPENAI_URL = "https://api.openai.com/v1"

_GPU_LINE = re.compile(r"^GPU (\d+):", re.MULTILINE)


def gpu_indices() -> tuple[int, ...]:
    """Return the indices of the NVIDIA GPUs here as nvidia-smi counts them; none where it is missing or fails."""
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(int(index) for index in _GPU_LINE.findall(listing.stdout)) if listing.returncode == 0 else ()


def is_installed(module: str) -> bool:
    """Say whether a module could be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def hub_is_offline() -> bool:
    """Say whether the user forbade the hub (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)."""
    return any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def cached_model_folder(name: str, revision: str | None) -> Path | None:
    """Return the folder of a model in the hub cache, None when it is not there. The layout is huggingface_hub's."""
    repository = _hub_cache() / f"models--{name.replace('/', '--')}"
    reference = repository / "refs" / (revision or "main")
    commit = reference.read_text(encoding="ascii").strip() if reference.is_file() else (revision or "")
    folder = repository / "snapshots" / commit
    return folder if commit and (folder / "config.json").is_file() else None


def openai_base_url() -> str:
    """Return the address that the environment gives for OpenAI's API (OPENAI_BASE_URL), else OpenAI's own."""
    return os.environ.get("OPENAI_BASE_URL") or OPENAI_URL


def secret(name: str) -> str:
    """Return a key that the environment holds; empty where it holds none."""
    return os.environ.get(name, "").strip()


def user_cache_dir() -> Path:
    """Return the user's folder for what may be thrown away; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "seal-runtime"


def _hub_cache() -> Path:
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    home = os.environ.get("HF_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface")
    return Path(home).expanduser() / "hub"
