"""Strict validators for the wire dataclasses, built once from their type hints.

Invariant: what passes is exactly of the annotated types (no str -> int, no NaN, no unknown key, bounded strings and collections), and
every schema has a finite depth, so deep nesting is refused by construction. The dataclasses themselves stay plain standard library ones.
Does not know frames or versions (`protocol.codec` does).
"""

import dataclasses
from functools import cache
from operator import itemgetter
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic_core import SchemaValidator, core_schema
from pydantic_core.core_schema import CoreSchema

MAX_CHUNK_BYTES = 1 << 20
"""Largest `data` of a BlobChunk."""
MAX_TEXT_CHARS = 1 << 22
"""Largest string of any message (the resolved topology, a prompt, a training text)."""
MAX_ITEMS = 1 << 16
"""Most items of any tuple (token ids of an edit, sequences of an update)."""
MAX_MAP_ITEMS = 256
"""Most keys of any map."""
MAX_LOG_LINE_CHARS = 16_384
"""Longest line of LogLines."""

_INT64 = 1 << 63
_MAX_IDENTIFIER_CHARS = 300

_FILE_NAME_SAFE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_PRINTABLE = r"^[^\p{C}]+$"
_PATTERNS = {
    "run_id": _FILE_NAME_SAFE,
    "incarnation": _FILE_NAME_SAFE,
    "file": _FILE_NAME_SAFE,
    "agent": r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$",
    "sha256": r"^[0-9a-f]{64}$",
    "policy_sha256s": r"^[0-9a-f]{64}$",
    "adapter_sha256": r"^([0-9a-f]{64})?$",
    "job_id": _PRINTABLE,
    "job_ids": _PRINTABLE,
    "context_id": _PRINTABLE,
    "question_id": _PRINTABLE,
    "study": _PRINTABLE,
}
"""Identifiers by field name, at most _MAX_IDENTIFIER_CHARS: some become file names, all are printed in logs and on terminals."""

_MAX_CHARS = {
    "hostname": 255,
    "package_version": 64,
    "store_dir": 4096,
    "store_nonce": 128,
    "error_type": 200,
    "reason": 20_000,
    "phase": 64,
    "lines": MAX_LOG_LINE_CHARS,
}
_NOT_NEGATIVE = frozenset(
    {
        "attempt",
        "capacity",
        "offset",
        "length",
        "file_size",
        "num_bytes",
        "rank",
        "pid",
        "gpus",
        "token_ids",
        "gpu_memory_bytes",
        "num_agents",
        "policy_lag",
        "max_new_tokens",
        "frames_dropped",
        "num_dropped",
        "next_offset",
        "num_steps",
        "num_tokens",
        "num_truncated",
        "prompt_tokens",
        "prompt_truncated",
        "edit_index",
        "policy_version",
        "version",
        "count",
    }
)


@cache
def body_validator(kind: type) -> SchemaValidator:
    """Return the validator that turns a map of fields into an instance of the dataclass `kind`."""
    return SchemaValidator(_dataclass(kind))


@cache
def tagged_validator(expected: Any) -> SchemaValidator:
    """Return the validator that turns `{"type": name, "body": fields}` into one of the members of a union (or the one class given)."""
    return SchemaValidator(_tagged(members(expected)))


def members(union: Any) -> tuple[type, ...]:
    """Return the classes of a union, or the class itself."""
    return get_args(union) if is_union(union) else (union,)


def is_dataclass(hint: Any) -> bool:
    """Say whether a type hint is a dataclass."""
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def is_union(hint: Any) -> bool:
    """Say whether a type hint is a union of either spelling."""
    return get_origin(hint) in (Union, UnionType)


def _tagged(kinds: tuple[type, ...]) -> CoreSchema:
    choices: dict[Any, CoreSchema] = {}
    for kind in kinds:
        envelope = core_schema.typed_dict_schema(
            {
                "type": core_schema.typed_dict_field(core_schema.literal_schema([kind.__name__]), required=True),
                "body": core_schema.typed_dict_field(_dataclass(kind), required=True),
            },
            extra_behavior="forbid",
        )
        choices[kind.__name__] = core_schema.no_info_after_validator_function(itemgetter("body"), envelope)
    return core_schema.tagged_union_schema(choices, discriminator="type")


def _dataclass(kind: type) -> CoreSchema:
    assert dataclasses.is_dataclass(kind), kind
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    fields = [core_schema.dataclass_field(name, _value(hints[name], name), kw_only=True) for name in names]
    arguments = core_schema.dataclass_args_schema(kind.__name__, fields, extra_behavior="forbid")
    return core_schema.dataclass_schema(kind, arguments, names, slots=True, frozen=True)


def _value(hint: Any, name: str) -> CoreSchema:
    """Return the schema of a field's type; `name` selects the bounds."""
    if is_union(hint):
        return _union(hint, name)
    origin = get_origin(hint)
    if origin is Literal:
        return core_schema.literal_schema(list(get_args(hint)))
    if origin is tuple:
        item, ellipsis = get_args(hint)
        assert ellipsis is ..., hint
        # Without fail_fast a frame of wrong items makes an error for each: 13 MB of them held a controller up for two minutes.
        return core_schema.tuple_schema([_value(item, name)], variadic_item_index=0, max_length=MAX_ITEMS, fail_fast=True)
    if origin is dict:
        key, item = get_args(hint)
        return core_schema.dict_schema(_value(key, name), _value(item, name), max_length=MAX_MAP_ITEMS)
    return _dataclass(hint) if is_dataclass(hint) else _scalar(hint, name)


def _union(hint: Any, name: str) -> CoreSchema:
    kinds = tuple(kind for kind in get_args(hint) if kind is not NoneType)
    schema = _value(kinds[0], name) if len(kinds) == 1 else _tagged(kinds)
    return core_schema.nullable_schema(schema) if NoneType in get_args(hint) else schema


def _scalar(hint: Any, name: str) -> CoreSchema:
    if hint is str:
        if name in _PATTERNS:
            return core_schema.str_schema(strict=True, pattern=_PATTERNS[name], max_length=_MAX_IDENTIFIER_CHARS)
        return core_schema.str_schema(strict=True, max_length=_MAX_CHARS.get(name, MAX_TEXT_CHARS))
    if hint is int:
        return core_schema.int_schema(strict=True, ge=0 if name in _NOT_NEGATIVE else -_INT64, le=_INT64 - 1)
    if hint is float:
        return core_schema.float_schema(strict=True, allow_inf_nan=False)
    if hint is bool:
        return core_schema.bool_schema(strict=True)
    assert hint is bytes, f"no wire form for {hint} (field {name})"
    return core_schema.bytes_schema(strict=True, max_length=MAX_CHUNK_BYTES)
