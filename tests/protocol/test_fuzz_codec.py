"""The decoder against malformed frames: each is refused, in bounded time and memory, and nothing else happens."""

import time
import tracemalloc
from typing import Any

import msgpack
import pytest
from hostile_frames import TO_AGENT, TO_CONTROLLER, FrameForge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import PROTOCOL_VERSION
from protocol.codec import decode, decode_to_agent, decode_to_controller, encode
from protocol.errors import ProtocolError
from protocol.messages import Message, ToAgent, ToController
from protocol.schema import members

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KIND_NAMES = st.sampled_from([kind.__name__ for kind in members(Message)])


@pytest.mark.parametrize(
    ("valid", "other", "decoder"), [(TO_CONTROLLER, TO_AGENT, decode_to_controller), (TO_AGENT, TO_CONTROLLER, decode_to_agent)]
)
def test_every_forged_frame_is_refused_in_one_line(valid: Any, other: Any, decoder: Any) -> None:
    for parts in FrameForge(0, valid, other).frames(10_000):
        if len(parts) > 1:
            continue
        with pytest.raises(ProtocolError) as caught:
            decoder(parts[0])
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000


def test_the_frames_that_the_forge_starts_from_are_sound_and_cover_both_directions() -> None:
    for messages, direction in ((TO_CONTROLLER, ToController), (TO_AGENT, ToAgent)):
        assert all(decode(encode(message), direction) == message for message in messages)
        assert {type(message) for message in messages} == set(members(direction)), "a new message belongs into hostile_frames"


@given(body=PLAIN, name=KIND_NAMES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_body_is_refused_or_becomes_a_message_that_encodes_again(body: Any, name: str) -> None:
    try:
        frame = msgpack.packb({"v": PROTOCOL_VERSION, "type": name, "body": body})
        message = decode(frame, Message)
    except (ProtocolError, OverflowError):
        return
    assert decode(encode(message), Message) == message


@given(frame=st.sampled_from([encode(message) for message in (*TO_CONTROLLER, *TO_AGENT)]), data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_frame_with_any_byte_changed_is_refused_or_is_a_whole_message(frame: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(frame) - 1))
    damaged = frame[:position] + bytes([data.draw(st.integers(0, 255))]) + frame[position + 1 :]
    try:
        message = decode(damaged, Message)
    except ProtocolError:
        return
    assert decode(encode(message), Message) == message


def _nested(result: dict[str, Any]) -> bytes:
    body = {"job_id": "j", "attempt": 1, "result": result, "started_at": 0.0, "duration_seconds": 0.0}
    frame = msgpack.packb({"v": PROTOCOL_VERSION, "type": "JobDone", "body": body})
    assert isinstance(frame, bytes)
    return frame


WRONG_EDIT = {"text": "", "finish_reason": "stop", "logprobs": [], "token_ids": [-1] * 60_000}
COSTLY = {
    "a map in each item": _nested({"type": "CreditResult", "body": {"credits": [{"x": 1}] * 60_000, "update": None}}),
    "items of items": _nested({"type": "ProposeResult", "body": {"prompt_tokens": 1, "prompt_truncated": 0, "edits": [WRONG_EDIT] * 10}}),
    "claims at every depth": b"\xdd\x00\x00\xff\xff" * 2000,
    "a version like a book": msgpack.packb({"v": [[0] * 1000] * 1000, "type": "x", "body": {}}),
}


@pytest.mark.parametrize("frame", COSTLY.values(), ids=COSTLY.keys())
def test_a_frame_cannot_cost_much_more_than_its_size(frame: bytes) -> None:
    """One error for each wrong item once made a frame of 13 MB cost two minutes and 18 GB."""
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ProtocolError):
        decode(frame, Message)
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000 + 60 * len(frame)
    # Generous, since tracing slows the decoder: the frames above took from seconds to minutes.
    assert seconds < 10.0
