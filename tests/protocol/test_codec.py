"""Every message round-trips; nothing that is not one gets through, whatever the bytes."""

import dataclasses
import math
import random
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import PROTOCOL_VERSION
from protocol.codec import (
    MAX_CONTROL_FRAME_BYTES,
    decode,
    decode_job,
    decode_result,
    decode_to_agent,
    decode_to_controller,
    encode,
    encode_job,
    encode_result,
)
from protocol.errors import ProtocolError
from protocol.jobs import AdapterRef, AdaptResult, EvaluateJob, Job, JobResult, PolicyRef, Question
from protocol.messages import Assign, BlobChunk, Goodbye, Heartbeat, JobAck, JobDone, Message, Register, StatusRequest
from protocol.schema import MAX_CHUNK_BYTES, MAX_ITEMS, MAX_TEXT_CHARS, is_union, members

FILE_NAME_SAFE = st.text("abcXYZ019._-", max_size=30).map(lambda text: f"a{text}")
PRINTABLE = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=40)
SHA256 = st.binary(min_size=32, max_size=32).map(bytes.hex)
SHORT_TEXT = st.text(max_size=60)
BY_NAME: dict[str, st.SearchStrategy[str]] = {
    **dict.fromkeys(("run_id", "incarnation", "file"), FILE_NAME_SAFE),
    **dict.fromkeys(("job_id", "job_ids", "context_id", "question_id", "study"), PRINTABLE),
    "agent": FILE_NAME_SAFE | st.just(""),
    **dict.fromkeys(("sha256", "policy_sha256s"), SHA256),
    "adapter_sha256": SHA256 | st.just(""),
}
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=200),
}


def instances(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: values(hints[field.name], field.name) for field in dataclasses.fields(kind)})


def values(hint: Any, name: str) -> st.SearchStrategy[Any]:
    if is_union(hint):
        return st.one_of([st.none() if kind is NoneType else values(kind, name) for kind in members(hint)])
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0], name), max_size=3).map(tuple)
    if get_origin(hint) is dict:
        return st.dictionaries(SHORT_TEXT, values(get_args(hint)[1], name), max_size=3)
    if hint is str:
        return BY_NAME.get(name, SHORT_TEXT)
    return SCALARS[hint] if hint in SCALARS else st.deferred(lambda: instances(hint))


def an_assign() -> Assign:
    question = Question(question_id="q1", prompt="Who?\n", answers=("Ada", "Countess"))
    policy = PolicyRef(version=1, chain=(AdapterRef(sha256="0a" * 32, rank=16, num_bytes=4096),))
    job = EvaluateJob(job_id="round-1/e/0", policy=policy, adapter=None, questions=(question,), max_new_tokens=8, stop="\n", scoring="mean")
    return Assign(job_id="round-1/e/0", attempt=2, job=job)


def plain(message: Message) -> dict[str, Any]:
    envelope = msgpack.unpackb(encode(message))
    assert isinstance(envelope, dict)
    return envelope


def refused(envelope: Any, expected: Any = Message) -> str:
    with pytest.raises(ProtocolError) as caught:
        decode(msgpack.packb(envelope), expected)
    return str(caught.value)


@pytest.mark.parametrize("kind", members(Message), ids=lambda kind: kind.__name__)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_message_round_trips_to_the_same_bytes(kind: type[Any], data: st.DataObject) -> None:
    message = data.draw(instances(kind))
    frame = encode(message)
    again = decode(frame, Message)
    assert type(again) is kind
    assert again == message
    assert encode(again) == frame


@pytest.mark.parametrize("kind", members(Job) + members(JobResult), ids=lambda kind: kind.__name__)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_job_and_result_round_trips(kind: type[Any], data: st.DataObject) -> None:
    value = data.draw(instances(kind))
    again = decode_job(encode_job(value)) if kind in members(Job) else decode_result(encode_result(value))
    assert again == value


@pytest.mark.parametrize("kind", members(Message), ids=lambda kind: kind.__name__)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_every_message_survives_damage(kind: type[Any], data: st.DataObject, seed: int) -> None:
    frame = encode(data.draw(instances(kind)))
    rng = random.Random(seed)
    for _ in range(40):
        damaged = bytearray(frame)
        for _ in range(rng.choice((1, 1, 2, 8))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        cut = bytes(damaged[: rng.randrange(len(damaged) + 1)])
        for bytes_ in (bytes(damaged), cut, cut + rng.randbytes(8), frame + b"\0"):
            try:
                decode(bytes_, Message)
            except ProtocolError as error:
                assert "\n" not in str(error)  # noqa: PT017  (either outcome is right, any other exception is not)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data, Message)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xffabc",
        b"\xc6\xff\xff\xff\xffabc",
        b"\x91" * 100_000,
        b"\x81\xa1v" * 50_000,
        b"\xdd\x00\x00\xff\xff" * 2000,
        b"\xd6\xff\0\0\0\1",
        b"\xd4\x01\x01",
        b"\x83\xa1v\x01\xa4type\xd6\xff\0\0\0\1\xa4body\x80",
        b"\x81\x01\x02",
        b"\x81\xc4\x01v\x01",
        b"\x81\xa1v\xa2\xff\xfe",
        b"\0" * (MAX_CONTROL_FRAME_BYTES + 1),
    ],
    ids=lambda frame: f"{len(frame)}-{frame[:6].hex()}",
)
def test_hostile_msgpack_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(frame, Message)


@pytest.mark.parametrize("wrong", [None, True, -1, 1.5, "x", b"x", [], [[1]], {}, {"type": "EvaluateJob"}, 2**64 - 1, [None] * 3, math.nan])
def test_wrong_types_in_any_field_are_refused(wrong: Any) -> None:
    for name in plain(an_assign())["body"]:
        if (name, wrong) == ("job_id", "x"):
            continue
        envelope = plain(an_assign())
        envelope["body"][name] = wrong
        assert name in refused(envelope)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempt", "2"),
        ("attempt", 2.0),
        ("attempt", True),
        ("job_id", 7),
        ("job_id", ""),
        ("job_id", "line\nbreak"),
        ("job_id", "\x1b[31m"),
        ("job_id", "x" * 301),
    ],
)
def test_nothing_is_coerced_and_identifiers_are_bounded(field: str, value: Any) -> None:
    envelope = plain(JobAck(job_id="a", attempt=1))
    envelope["body"][field] = value
    assert field in refused(envelope)


def test_unknown_missing_and_extra_keys_are_refused() -> None:
    assert "colour" in refused(plain(StatusRequest()) | {"body": {"colour": 1}})
    assert "attempt" in refused(plain(JobAck(job_id="a", attempt=1)) | {"body": {"job_id": "a"}})
    assert "extra" in refused(plain(StatusRequest()) | {"extra": 1})
    assert "refused" in refused({"v": PROTOCOL_VERSION, "type": "StatusRequest"})
    assert "map" in refused([1, 2, 3])


def test_unknown_types_and_types_of_the_other_direction_are_refused() -> None:
    assert "Exec" in refused(plain(StatusRequest()) | {"type": "Exec"})
    with pytest.raises(ProtocolError, match="refused Assign"):
        decode_to_controller(encode(an_assign()))
    with pytest.raises(ProtocolError, match="refused StatusRequest"):
        decode_to_agent(encode(StatusRequest()))


@pytest.mark.parametrize("version", [0, PROTOCOL_VERSION + 1, "1", True, None, [PROTOCOL_VERSION]])
def test_another_protocol_version_is_refused_naming_both(version: Any) -> None:
    reason = refused(plain(StatusRequest()) | {"v": version})
    assert repr(str(version)) in reason
    assert f"this process version {PROTOCOL_VERSION}" in reason


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_no_number_cannot_be_sent_or_received(loss: float) -> None:
    adapter = AdapterRef(sha256="0a" * 32, rank=16, num_bytes=1)
    result = AdaptResult(adapter=adapter, num_steps=1, num_tokens=1, num_truncated=0, first_loss=1.0, final_loss=loss)
    done = JobDone(job_id="a", attempt=1, result=result, started_at=0.0, duration_seconds=0.0)
    with pytest.raises(ProtocolError, match="final_loss"):
        encode(done)
    envelope = plain(dataclasses.replace(done, result=dataclasses.replace(result, final_loss=1.0)))
    envelope["body"]["result"]["body"]["final_loss"] = loss
    assert "final_loss" in refused(envelope)


def test_sizes_are_bounded_on_both_sides() -> None:
    chunk = BlobChunk(sha256="0a" * 32, file="f", offset=0, file_size=MAX_CHUNK_BYTES, crc32=0, data=b"\0" * MAX_CHUNK_BYTES)
    assert decode(encode(chunk), BlobChunk) == chunk
    with pytest.raises(ProtocolError, match="data"):
        encode(dataclasses.replace(chunk, data=chunk.data + b"\0"))
    with pytest.raises(ProtocolError, match="reason"):
        encode(Goodbye(reason="x" * 20_001))
    with pytest.raises(ProtocolError, match="job_ids"):
        encode(
            Heartbeat(
                state="busy",
                job_ids=("j",) * (MAX_ITEMS + 1),
                step_age_seconds=0.0,
                gpu_memory_bytes=0,
                gpu_busy_share=None,
                frames_dropped=0,
            )
        )
    question = Question(question_id="q", prompt="x" * MAX_TEXT_CHARS, answers=())
    job = an_assign().job
    assert isinstance(job, EvaluateJob)
    with pytest.raises(ProtocolError, match="bytes"):
        encode(dataclasses.replace(an_assign(), job=dataclasses.replace(job, questions=(question,) * 5)))


def test_equal_values_have_equal_bytes_also_when_a_float_was_written_as_an_integer() -> None:
    whole = Heartbeat(state="idle", job_ids=(), step_age_seconds=1, gpu_memory_bytes=0, gpu_busy_share=None, frames_dropped=0)
    assert encode(whole) == encode(dataclasses.replace(whole, step_age_seconds=1.0))
    assert isinstance(decode(encode(whole), Heartbeat).step_age_seconds, float)


@pytest.mark.parametrize("wrong", [None, "x", 1.5, (1, "2"), object(), [1]])
def test_a_wrongly_built_message_is_refused_when_it_is_sent(wrong: Any) -> None:
    register = Register(role="trainer", agent="", incarnation="i", capacity=1, hostname="h", pid=1, gpus=wrong, package_version="0")
    if wrong == [1]:
        assert decode(encode(register), Register).gpus == (1,)
    else:
        with pytest.raises(ProtocolError, match="cannot send Register"):
            encode(register)
    with pytest.raises(ProtocolError, match="cannot send Assign"):
        encode(Assign(job_id="a", attempt=1, job=wrong))
    with pytest.raises(ProtocolError, match="expected a message"):
        encode(wrong)
