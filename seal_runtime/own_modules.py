"""How a process of ours is started: by the name of a module, which must be found wherever the user stands.

Our packages have general names (`agents`, `launch`, `protocol`), and `python -m` would look into the working directory first.
"""

import os
import sys
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent


def module_command(module: str) -> list[str]:
    """Return the beginning of a command line that runs a module of ours."""
    return [sys.executable, "-P", "-m", module]


def import_environment() -> dict[str, str]:
    """Return what the environment must say so that Python finds a checkout of ours that is not installed."""
    if not (_HOME / "pyproject.toml").is_file():
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH"))))}
