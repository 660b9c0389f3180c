"""Turn everything that is wrong with a topology into one error that a person can act on."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from seal_runtime.config.yaml_source import KeyPath, describe
from seal_runtime.errors import ConfigError

Locate = Callable[[KeyPath], str]
"""Says where a key was given, such as `run.yaml:12` or `--set a.b=1`; "" when unknown."""

_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a section (a mapping of keys)",
    "model_attributes_type": "a section (a mapping of keys)",
    "dict_type": "a mapping of keys",
    "greater_than": "a value > {gt}",
    "greater_than_equal": "a value >= {ge}",
    "less_than": "a value < {lt}",
    "less_than_equal": "a value <= {le}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "literal_error": "one of {expected}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: the dotted key, what was expected and what came, and where it was given ("" when unknown)."""

    key: str
    message: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" + (f"  [{self.where}]" if self.where else "")


def config_error(subject: str, problems: Sequence[Problem]) -> ConfigError:
    """Return the one error that lists every problem."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigError("\n".join([f"{subject}: {count}", *(f"  {problem}" for problem in problems)]))


def validation_problems(error: ValidationError, model: type[BaseModel], locate: Locate) -> list[Problem]:
    """Translate pydantic's findings, one problem a key."""
    problems: dict[KeyPath, Problem] = {}
    for detail in error.errors(include_url=False):
        path = _key_path(detail, model)
        if path not in problems:
            message = _unknown_key(path, model) if detail["type"] == "extra_forbidden" else _wrong_value(detail, path, model)
            problems[path] = Problem(key=".".join(path), message=message, where=locate(path))
    return list(problems.values())


def key_paths(model: type[BaseModel], prefix: KeyPath = ()) -> list[KeyPath]:
    """List every key path of a model, sections before their keys."""
    paths: list[KeyPath] = []
    for name, field in model.model_fields.items():
        paths.append((*prefix, name))
        section = section_type(field.annotation)
        if section is not None:
            paths += key_paths(section, (*prefix, name))
    return paths


def section_type(annotation: object) -> type[BaseModel] | None:
    """Return the model class that an annotation names, None when it names something else."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that looks most like a word, None when none does."""
    matches = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return matches[0] if matches else None


def _unknown_key(path: KeyPath, model: type[BaseModel]) -> str:
    siblings = [other[-1] for other in key_paths(model) if other[:-1] == path[:-1]]
    guess = nearest(path[-1], siblings)
    if guess is not None:
        suggestion: KeyPath | None = (*path[:-1], guess)
    else:
        # The right key in the wrong section: prefer the candidates that share the longest beginning.
        namesakes = [other for other in key_paths(model) if other[-1] == path[-1]]
        suggestion = max(namesakes, key=lambda other: _shared(other, path), default=None)
    hint = f"; did you mean {'.'.join(suggestion)}?" if suggestion else ""
    return f"unknown key{hint} (keys here: {', '.join(sorted(siblings))})"


def _shared(left: KeyPath, right: KeyPath) -> int:
    return next((index for index, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), min(len(left), len(right)))


def _wrong_value(detail: ErrorDetails, path: KeyPath, model: type[BaseModel]) -> str:
    value = detail["input"]
    if _is_free_mapping(path[:-1], model) and len(path) > 1:
        return f"expected text, a number, or true or false, got {describe(value)}"
    expected = _EXPECTED.get(detail["type"], "").format(**detail.get("ctx", {})) or detail["msg"]
    message = f"expected {expected}, got {describe(value)}"
    if detail["type"] == "literal_error" and isinstance(value, str):
        choices = [choice.strip("' ") for choice in str(detail["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        guess = nearest(value, choices)
        message += f"; did you mean {guess}?" if guess else ""
    return message


def _key_path(detail: ErrorDetails, model: type[BaseModel]) -> KeyPath:
    """Return where the problem is, without the union members that pydantic appends."""
    path = tuple(str(part) for part in detail["loc"])
    for end in range(len(path)):
        if _is_free_mapping(path[:end], model):
            return path[: end + 1]
    return path


def _is_free_mapping(path: KeyPath, model: type[BaseModel]) -> bool:
    section: type[BaseModel] | None = model
    for position, name in enumerate(path):
        field = section.model_fields.get(name) if section is not None else None
        if field is None:
            return False
        if position == len(path) - 1:
            return getattr(field.annotation, "__origin__", None) is dict
        section = section_type(field.annotation)
    return False
