"""The models that ship with the package. A topology names one as `builtin:seal-tiny`."""

import difflib
from pathlib import Path

from seal_runtime.errors import ConfigError

BUILTIN_MODELS: tuple[str, ...] = ("seal-tiny", "seal-tiny-seed1", "seal-tiny-grids")


def builtin_model_path(name: str) -> Path:
    """Return the folder of a built-in model. Raises ConfigError for a name that is not one, or a folder that was not installed."""
    if name not in BUILTIN_MODELS:
        nearest = difflib.get_close_matches(name, BUILTIN_MODELS, n=1, cutoff=0.0)[0]
        raise ConfigError(
            f"expected a built-in model ({', '.join(BUILTIN_MODELS)}), got {name!r}; did you mean {nearest!r}? "
            "Other models are named by a local path or a hub name, without `builtin:`."
        )
    folder = Path(__file__).parent / name
    if not (folder / "config.json").is_file():
        raise ConfigError(f"expected the built-in model {name!r} in {folder}, found no config.json there; reinstall seal-runtime")
    return folder
