"""Messages to frames and back: msgpack `{"v": PROTOCOL_VERSION, "type": class name, "body": fields}`.

A member of a union inside a message (the job of an Assign) is written as `{"type": ..., "body": ...}` too. Invariants: what `encode`
accepts `decode` accepts and gives back equal; the bytes depend on the value alone (fields in declaration order, no sets), so they serve
the ledger as canonical; any bytes whatsoever either decode to one of the expected classes or raise ProtocolError, nothing else.
"""

import dataclasses
import reprlib
from collections.abc import Callable
from functools import cache
from typing import Any, cast, get_args, get_origin, get_type_hints

import msgpack
from pydantic_core import ValidationError

from protocol import PROTOCOL_VERSION
from protocol.errors import ProtocolError
from protocol.jobs import Job, JobResult
from protocol.messages import Message, ToAgent, ToController, ToObserver
from protocol.schema import (
    MAX_CHUNK_BYTES,
    MAX_ITEMS,
    MAX_MAP_ITEMS,
    MAX_TEXT_CHARS,
    body_validator,
    is_dataclass,
    is_union,
    members,
    tagged_validator,
)

MAX_CONTROL_FRAME_BYTES = 16 << 20
"""Largest frame, checked on both sides (and by libzmq before it allocates)."""

_UTF8_BYTES_PER_CHAR = 4

Encoder = Callable[[Any], Any]


def encode(message: Message) -> bytes:
    """Return the frame of a message. Raises ProtocolError when it would be refused on arrival (NaN, wrong type, too large)."""
    return _encode(message)


def decode_to_controller(frame: bytes) -> ToController:
    """Decode what arrived at the controller. Raises ProtocolError only."""
    return cast(ToController, decode(frame, ToController))


def decode_to_agent(frame: bytes) -> ToAgent:
    """Decode what arrived at an agent. Raises ProtocolError only."""
    return cast(ToAgent, decode(frame, ToAgent))


def decode_to_observer(frame: bytes) -> ToObserver:
    """Decode what arrived at an observer. Raises ProtocolError only."""
    return cast(ToObserver, decode(frame, ToObserver))


def encode_job(job: Job) -> bytes:
    """Return the canonical bytes of a job (the same form as a frame). Raises ProtocolError when a value has no wire form."""
    return _encode(job)


def decode_job(data: bytes) -> Job:
    """Return the job of `encode_job`. Raises ProtocolError."""
    return cast(Job, decode(data, Job))


def encode_result(result: JobResult) -> bytes:
    """Return the canonical bytes of a result. Raises ProtocolError when a value has no wire form (a NaN loss)."""
    return _encode(result)


def decode_result(data: bytes) -> JobResult:
    """Return the result of `encode_result`. Raises ProtocolError."""
    return cast(JobResult, decode(data, JobResult))


def decode(frame: bytes, expected: Any) -> Any:
    """Return the message in `frame`, an instance of one of the classes of `expected` (a union or a class). Raises ProtocolError only."""
    envelope = _unpack(frame)
    if not isinstance(envelope, dict) or "v" not in envelope:
        raise ProtocolError(f"expected a msgpack map with v, type and body, got {type(envelope).__name__}; is the peer a seal-runtime?")
    version = envelope.pop("v")
    if type(version) is not int or version != PROTOCOL_VERSION:
        raise ProtocolError(
            f"peer speaks protocol version {_shortened(version)!r}, this process version {PROTOCOL_VERSION}; install the same release"
        )
    try:
        return tagged_validator(expected).validate_python(envelope)
    except ValidationError as error:
        raise ProtocolError(f"refused {_type_name(envelope)}: {_first_problem(error)}") from None


def _encode(value: Any) -> bytes:
    kind: Any = type(value)
    if not _is_dataclass(kind):
        raise ProtocolError(f"expected a message, job or result, got {kind.__name__}")
    try:
        body = _fields_encoder(kind)(value)
        body_validator(kind).validate_python(body)
        frame = cast(bytes, msgpack.packb({"v": PROTOCOL_VERSION, "type": kind.__name__, "body": body}))
    except ValidationError as error:
        raise ProtocolError(f"cannot send {kind.__name__}: {_first_problem(error)}") from None
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"cannot send {kind.__name__}: {str(error)[:300]}") from error
    if len(frame) > MAX_CONTROL_FRAME_BYTES:
        raise ProtocolError(f"cannot send {kind.__name__}: {len(frame)} bytes, at most {MAX_CONTROL_FRAME_BYTES} fit; shorten its texts")
    return frame


def _unpack(frame: bytes) -> Any:
    if len(frame) > MAX_CONTROL_FRAME_BYTES:
        raise ProtocolError(f"frame of {len(frame)} bytes, at most {MAX_CONTROL_FRAME_BYTES} are allowed")
    try:
        return msgpack.unpackb(
            frame,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_TEXT_CHARS * _UTF8_BYTES_PER_CHAR,
            max_bin_len=MAX_CHUNK_BYTES,
            # An array has no more items than the frame has bytes; room for those that it claims is taken at once, at every depth.
            max_array_len=min(MAX_ITEMS, len(frame)),
            max_map_len=MAX_MAP_ITEMS,
            max_ext_len=0,
        )
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(
            f"frame of {len(frame)} bytes is not msgpack within the limits: {type(error).__name__}: {str(error)[:120]!r}"
        ) from None


def _shortened(value: Any) -> str:
    return (value if isinstance(value, str) else reprlib.repr(value))[:20]


def _type_name(envelope: dict[str, Any]) -> str:
    name = envelope.get("type")
    return name[:40] if isinstance(name, str) and name.isidentifier() else "a message without a valid type"


def _first_problem(error: ValidationError) -> str:
    """Describe the first of the errors on one line, without the offending value (it may be long or hostile)."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    where = ".".join(str(part)[:40] for part in problems[0]["loc"]) or "envelope"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ascii(f"{where[:200]}: {problems[0]['msg'][:300]}{more}")[1:-1]


@cache
def _is_dataclass(kind: type) -> bool:
    return dataclasses.is_dataclass(kind)


@cache
def _fields_encoder(kind: type) -> Encoder:
    """Return the function from an instance of a dataclass to its map of fields."""
    hints = get_type_hints(kind)
    pairs = [(field.name, _encoder(hints[field.name])) for field in dataclasses.fields(kind)]

    def encode_fields(value: Any) -> dict[str, Any]:
        # Unpickled or duck-typed look-alikes would pass field by field; a wire value is exactly of its class.
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
        return {name: getattr(value, name) if encoder is None else encoder(getattr(value, name)) for name, encoder in pairs}

    return encode_fields


def _encoder(hint: Any) -> Encoder | None:
    """Return the function from a field's value to its msgpack form; None where that is the value itself."""
    if is_union(hint):
        return _union_encoder(hint)
    if get_origin(hint) is tuple:
        item = _encoder(get_args(hint)[0])
        if item is _float:
            # Log-probabilities come by the hundred: nearly always they are floats already.
            return lambda values: values if {*map(type, values)} <= {float} else [_float(value) for value in values]
        return None if item is None else lambda values: [item(value) for value in values]
    if hint is float:
        return _float
    return _fields_encoder(hint) if is_dataclass(hint) else None


def _union_encoder(hint: Any) -> Encoder | None:
    kinds = [kind for kind in members(hint) if kind is not type(None)]
    if len(kinds) == 1:
        only = _encoder(kinds[0])
        return None if only is None else lambda value: None if value is None else only(value)
    encoders = {kind: (kind.__name__, _fields_encoder(kind)) for kind in kinds}

    def encode_tagged(value: Any) -> dict[str, Any]:
        if type(value) not in encoders:
            raise TypeError(f"expected one of {', '.join(kind.__name__ for kind in kinds)}, got {type(value).__name__}")
        name, encoder = encoders[type(value)]
        return {"type": name, "body": encoder(value)}

    return encode_tagged


def _float(value: Any) -> Any:
    """Write 1 as 1.0, so that equal values have equal bytes; anything else is left to the validator."""
    return float(value) if type(value) is int else value
