"""Read YAML as data plus the line of every key. Stricter than YAML: duplicate keys, aliases and non-text keys are refused.

Numbers such as `1e-3` are numbers here; YAML 1.1 would read them as text, and a learning rate would be a string.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from seal_runtime.errors import ConfigError

MAX_FILE_BYTES = 1_000_000

KeyPath = tuple[str, ...]

_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?(?:[0-9][0-9_]*)[eE][-+]?[0-9]+
    |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.X,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """A parsed mapping and the line (from 1) on which each key path stands."""

    data: dict[str, object]
    lines: Mapping[KeyPath, int]


class _Loader(yaml.SafeLoader):
    """Safe YAML with scientific notation, without aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise ConfigError(
                f"line {event.start_mark.line + 1}: expected plain values, got the alias *{event.anchor}; write the value out"
            )
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def read_yaml_mapping(path: Path) -> YamlDocument:
    """Read a file that holds one YAML mapping; an empty file is an empty mapping.

    Raises ConfigError when the file is missing, unreadable, too large, not UTF-8, or not a YAML mapping.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                f"{path}: expected a topology of at most {MAX_FILE_BYTES} bytes, got {path.stat().st_size}; is it the right file?"
            )
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: expected a topology file, found none; see examples/ for some that work") from None
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable topology file, got: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, got byte {error.object[error.start]:#04x} at offset {error.start}") from error
    try:
        return parse_yaml_mapping(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_yaml_mapping(text: str) -> YamlDocument:
    """Parse a YAML text that is one mapping. Raises ConfigError with the line where it goes wrong."""
    value, node = _parse(text)
    lines: dict[KeyPath, int] = {}
    if node is not None:
        _record_lines(node, (), lines)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ConfigError(f"expected a mapping of sections (run:, model:, task:, ...), got {describe(value)}")
    return YamlDocument(data=value, lines=lines)


def parse_yaml_value(text: str) -> object:
    """Parse the value of an override: `16`, `1e-3`, `true`, `[0, 1]`, `{a: 1}` or plain text."""
    value, node = _parse(text)
    if node is not None:
        _record_lines(node, (), {})
    return value


def describe(value: object) -> str:
    """Say what a value is, for people: `'abc' (text)`."""
    kinds = {bool: "a truth value", int: "an integer", float: "a number", str: "text", list: "a list", tuple: "a list", dict: "a mapping"}
    if value is None:
        return "nothing"
    shown = repr(list(value)) if isinstance(value, tuple) else repr(value)
    return f"{shown if len(shown) <= 60 else shown[:57] + '...'} ({kinds.get(type(value), type(value).__name__)})"


def _parse(text: str) -> tuple[object, yaml.Node | None]:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        # Lines are recorded from the nodes, values are built from them: one parse for both.
        return (None if node is None else loader.construct_document(node)), node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ConfigError(f"{where}expected YAML, got: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"expected YAML, got: {error}") from None
    except RecursionError:
        raise ConfigError("expected a few levels of nesting, got far too many; is it a topology?") from None
    finally:
        if loader is not None:
            loader.dispose()


def _record_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines.setdefault((*path, str(index)), item.start_mark.line + 1)
            _record_lines(item, (*path, str(index)), lines)
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag != "tag:yaml.org,2002:str":
            raise ConfigError(f"line {line}: expected a key that is text, got {key_node.value!r}; put it in quotes")
        key_path = (*path, key_node.value)
        if key_path in lines:
            raise ConfigError(f"line {line}: key {'.'.join(key_path)} is given twice, first on line {lines[key_path]}; remove one")
        lines[key_path] = line
        _record_lines(value_node, key_path, lines)
