"""Load a topology: YAML file, then `--set` overrides, then validation; everything that is wrong is reported at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from seal_runtime.config.problems import Problem, config_error, validation_problems
from seal_runtime.config.topology import Topology
from seal_runtime.config.yaml_source import KeyPath, describe, parse_yaml_value, read_yaml_mapping
from seal_runtime.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One `--set a.b=value` of the command line."""

    path: KeyPath
    value: object
    text: str


def load_topology(path: Path, overrides: Sequence[str] = ()) -> Topology:
    """Read a topology file and apply dotted overrides such as `trainer.lora.rank=16`, the later ones last.

    Raises one ConfigError that lists every problem with its key, what was expected, what came, and where it was given.
    """
    document = read_yaml_mapping(path)
    parsed, problems = _parse_overrides(overrides)
    data = document.data
    for override in parsed:
        problem = _apply(data, override)
        if problem is not None:
            problems.append(problem)

    def locate(key: KeyPath) -> str:
        return _override_source(key, parsed) or _file_source(key, path, document.lines)

    try:
        topology = Topology.model_validate(data)
    except ValidationError as error:
        problems += validation_problems(error, Topology, locate)
    if problems:
        raise config_error(f"topology {path}", problems)
    return topology


def load_resolved(path: Path) -> Topology:
    """Read the resolved topology that a run directory holds. Raises ConfigError."""
    return load_topology(path)


def dump_topology(topology: Topology) -> str:
    """Return the topology as YAML with every default written out; loading it gives an equal topology."""
    text: str = yaml.safe_dump(topology.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    return text


def _parse_overrides(overrides: Sequence[str]) -> tuple[list[Override], list[Problem]]:
    parsed: list[Override] = []
    problems: list[Problem] = []
    for text in overrides:
        key, separator, value = text.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        if not separator or not all(path):
            problems.append(Problem(key=f"--set {text}", message="expected section.key=value, such as trainer.lora.rank=16"))
            continue
        try:
            parsed.append(Override(path=path, value=parse_yaml_value(value), text=text))
        except ConfigError as error:
            problems.append(Problem(key=".".join(path), message=str(error), where=f"--set {text}"))
    return parsed, problems


def _apply(data: dict[str, object], override: Override) -> Problem | None:
    """Write an override into the raw data, making the sections on its way."""
    section = data
    for depth, name in enumerate(override.path[:-1], start=1):
        below = section.get(name)
        if below is None:
            below = section[name] = {}
        if not isinstance(below, dict):
            key = ".".join(override.path[:depth])
            return Problem(key=key, message=f"expected a section to set {override.text} in, got {describe(below)}")
        section = below
    section[override.path[-1]] = override.value
    return None


def _override_source(key: KeyPath, overrides: Sequence[Override]) -> str:
    """Return the last override that gave this key, or a section around or below it."""
    for override in reversed(overrides):
        shorter = min(len(key), len(override.path))
        if key[:shorter] == override.path[:shorter]:
            return f"--set {override.text}"
    return ""


def _file_source(key: KeyPath, path: Path, lines: Mapping[KeyPath, int]) -> str:
    for end in range(len(key), 0, -1):
        if key[:end] in lines:
            return f"{path.name}:{lines[key[:end]]}"
    return ""
