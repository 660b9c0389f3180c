"""What the names in a topology refer to: a data file or a hub name, a model, a task class. Looks at names and files only."""

import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal, cast

from seal_runtime.config.problems import nearest
from seal_runtime.errors import ConfigError

BUILTIN_TASKS = ("fictional", "squad", "arc")
BUILTIN_GRADERS = ("contains", "exact", "em", "f1", "judge")
DATA_FILE_SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")

_HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_LOCAL_PREFIXES = ("/", "./", "../", "~")

ModelKind = Literal["builtin", "random", "local", "hub"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReference:
    """A model path taken apart: its kind, and the name without prefix (for `local` the folder)."""

    kind: ModelKind
    name: str


def model_reference(path: str) -> ModelReference:
    """Take a `model.path` apart. Raises ConfigError when it can be neither a prefix form, nor a folder, nor a hub name."""
    prefix, separator, name = path.partition(":")
    if separator and prefix in ("builtin", "random"):
        return ModelReference(kind="builtin" if prefix == "builtin" else "random", name=name)
    if path.startswith(_LOCAL_PREFIXES) or (path and Path(path).is_dir()):
        return ModelReference(kind="local", name=str(Path(path).expanduser()))
    if is_hub_name(path):
        return ModelReference(kind="hub", name=path)
    raise ConfigError(
        f"expected builtin:NAME, a local folder (./models/x), a hub name (org/name) or random:ARCHITECTURE, got {path!r}; "
        "a folder that does not exist yet is written with ./ in front"
    )


def is_hub_name(name: str) -> bool:
    """Say whether a text has the form of a hub name, `name` or `org/name`."""
    return len(name) <= 96 and _HUB_NAME.fullmatch(name) is not None


def is_data_file(data: str) -> bool:
    """Say whether `task.data` names a file (by its beginning, its suffix, or because it is there) rather than a hub data set."""
    return data.startswith(_LOCAL_PREFIXES) or Path(data).suffix.lower() in DATA_FILE_SUFFIXES or Path(data).exists()


def hub_data_reference(data: str) -> tuple[str, str]:
    """Take `org/name:split` apart; the split is `train` unless given. Raises ConfigError when it is not of that form."""
    name, _, split = data.partition(":")
    if not is_hub_name(name):
        suffixes = ", ".join(DATA_FILE_SUFFIXES)
        raise ConfigError(f"expected a file ({suffixes}) or a hub data set (org/name or org/name:split), got {data!r}")
    return name, split or "train"


def task_class(name: str) -> type[object]:
    """Import the class that `module:Class` names; the working directory is importable, as with `python -m`.

    Raises ConfigError when the name has another form, the module cannot be imported, or holds no such class.
    """
    module_name, separator, class_name = name.partition(":")
    if not separator or not module_name or not class_name.isidentifier():
        guess = nearest(name, BUILTIN_TASKS)
        hint = f"; did you mean {guess}?" if guess else ""
        raise ConfigError(f"expected a task ({', '.join(BUILTIN_TASKS)}) or module:Class, got {name!r}{hint}")
    module = _imported(module_name, name)
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and value.__module__ == module.__name__]
        guess = nearest(class_name, classes)
        hint = f"; did you mean {guess}?" if guess else f" (it has {', '.join(classes) or 'none'})"
        raise ConfigError(f"expected a class {class_name} in module {module_name}, found none{hint}")
    return found


def task_function(name: str) -> Callable[..., object]:
    """Import the function that `module:function` names. Raises ConfigError as `task_class` does."""
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name.isidentifier():
        raise ConfigError(f"expected module:function, got {name!r}")
    module = _imported(module_name, name)
    found = getattr(module, function_name, None)
    if not callable(found):
        functions = [key for key, value in vars(module).items() if callable(value) and getattr(value, "__module__", "") == module.__name__]
        guess = nearest(function_name, functions)
        hint = f"; did you mean {guess}?" if guess else f" (it has {', '.join(functions) or 'none'})"
        raise ConfigError(f"expected a function {function_name} in module {module_name}, found none{hint}")
    return cast(Callable[..., object], found)


def _imported(module_name: str, name: str) -> ModuleType:
    working_directory = os.getcwd()
    if working_directory not in sys.path and "" not in sys.path:
        sys.path.insert(0, working_directory)
    try:
        return importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise ConfigError(
            f"expected an importable module in {name!r}, got {type(error).__name__}: {error}; "
            f"install it, or start from the folder that holds it (now {working_directory})"
        ) from error
