"""Frames that a peer must refuse, each for a reason known without asking the decoder; reproducible from a seed."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from protocol import PROTOCOL_VERSION
from protocol.codec import encode
from protocol.jobs import (
    AdapterRef,
    AdaptJob,
    AdaptResult,
    CreditJob,
    CreditResult,
    EditCredit,
    EvaluateJob,
    EvaluateResult,
    GeneratedEdit,
    GradedAnswer,
    LoraSpec,
    OptimSpec,
    PolicyRef,
    PolicyUpdate,
    ProposeJob,
    ProposeResult,
    Question,
    Receipt,
    SamplingSpec,
    TrainingSequence,
)
from protocol.messages import (
    Assign,
    BlobAck,
    BlobChunk,
    BlobError,
    BlobGet,
    Cancel,
    Drain,
    DrainRequest,
    Goodbye,
    Heartbeat,
    JobAck,
    JobDone,
    JobFailed,
    LogLines,
    Message,
    Pulse,
    Ready,
    Register,
    Reject,
    ScaleRequest,
    Shutdown,
    StackReport,
    StatusRequest,
    StopRequest,
    Welcome,
)
from protocol.schema import MAX_CHUNK_BYTES

Parts = list[bytes]

SHA256 = "0a" * 32
ADAPTER = AdapterRef(sha256=SHA256, rank=4, num_bytes=100)
POLICY = PolicyRef(version=1, chain=(ADAPTER,))
SEQUENCES = (TrainingSequence(prompt="p", completion="c", weight=1.0),)
LORA = LoraSpec(rank=4, alpha=8.0, targets=("q_proj",))
OPTIM = OptimSpec(
    learning_rate=0.001, epochs=1, batch_size=1, schedule="linear", warmup_steps=0, weight_decay=0.0, max_grad_norm=1.0, max_length=64,
    num_steps=0, pad_loss="none",
)  # fmt: skip
UPDATE = PolicyUpdate(sequences=SEQUENCES, lora=LORA, optim=OPTIM, seed=1)
EDIT = GeneratedEdit(text="a fact", token_ids=(1, 2), logprobs=(-0.5, -1.5), finish_reason="stop")
RESULTS = (
    ProposeResult(edits=(EDIT, EDIT), prompt_tokens=3, prompt_truncated=0),
    AdaptResult(adapter=ADAPTER, num_steps=1, num_tokens=1, num_truncated=0, first_loss=2.0, final_loss=1.0),
    EvaluateResult(
        answers=(GradedAnswer(question_id="q", text="yes", score=1.0),),
        score=1.0,
        receipt=Receipt(adapter_sha256="", policy_version=1, policy_sha256s=(ADAPTER.sha256,), probe_delta=0.0),
    ),
    CreditResult(credits=(EditCredit(context_id="c", edit_index=0, reward=1.0, weight=1.0),), update=UPDATE),
)
JOBS = (
    ProposeJob(job_id="j", policy=POLICY, prompt="p", sampling=SamplingSpec(temperature=1.0, top_p=1.0, max_new_tokens=8), seeds=(1, 2)),
    AdaptJob(job_id="j", purpose="inner", policy=POLICY, sequences=SEQUENCES, lora=LORA, optim=OPTIM, seed=1),
    EvaluateJob(
        job_id="j",
        policy=POLICY,
        adapter=ADAPTER,
        questions=(Question(question_id="q", prompt="?", answers=("a",)),),
        max_new_tokens=8,
        stop="",
        scoring="mean",
    ),
    CreditJob(job_id="j", round=1, seed=1, groups=()),
)
CHUNK = BlobChunk(sha256=SHA256, file="adapter_config.json", offset=0, file_size=3, crc32=1, data=b"abc")
HEARTBEAT = Heartbeat(state="busy", job_ids=("j", "k"), step_age_seconds=0.5, gpu_memory_bytes=0, gpu_busy_share=0.5, frames_dropped=0)
TO_CONTROLLER: tuple[Message, ...] = (
    Register(role="trainer", agent="trainer-0", incarnation="i", capacity=1, hostname="h", pid=1, gpus=(0,), package_version="0"),
    Ready(capacity=1),
    HEARTBEAT,
    *(JobDone(job_id="j", attempt=1, result=result, started_at=1.0, duration_seconds=1.0) for result in RESULTS),
    JobFailed(job_id="j", attempt=1, error_type="E", reason="r", retryable=True),
    Goodbye(reason="r"),
    BlobGet(sha256=SHA256, file="adapter_config.json", offset=0, length=1),
    CHUNK,
    StackReport(step_age_seconds=30.0, stack=("a.py:1 f", "b.py:2 g")),
    LogLines(lines=('{"event": "e", "time": "2026-01-01T00:00:00+00:00"}',), num_dropped=0),
    ScaleRequest(role="trainer", count=2),
    StatusRequest(),
    StopRequest(reason="r"),
    DrainRequest(agent="trainer-0"),
)
TO_AGENT: tuple[Message, ...] = (
    Welcome(agent="a", run_id="r", topology_json="{}", store_dir="/s", store_nonce="n", heartbeat_seconds=1.0),
    Reject(reason="r"),
    Pulse(registered=True),
    *(Assign(job_id="j", attempt=1, job=job) for job in JOBS),
    Cancel(job_id="j", attempt=1),
    JobAck(job_id="j", attempt=1),
    Drain(reason="r"),
    Shutdown(reason="r"),
    CHUNK,
    BlobAck(sha256=SHA256, file="adapter_config.json", next_offset=0, complete=False),
    BlobError(sha256=SHA256, reason="r"),
)

WRONG: dict[type, tuple[Any, ...]] = {
    str: (None, 7, 1.5, True, b"bytes", [], {}, ["x"]),
    int: (None, "7", 1.5, True, b"7", [], {}, 1 << 63),
    float: (None, "x", b"x", [], {}, float("nan"), float("inf"), float("-inf")),
    bool: (None, 0, 1, "true", [], 1.0),
    bytes: (None, "text", 7, [], {}),
    list: ("x", 7, {}, b"", 1.5, {"0": 1}),
    dict: ("x", 7, [], [[]], b"", 1.5, {"type": "Exec", "body": {}}),
}
"""Values that no field holding a value of the type takes: none of them is coerced, only `adapter`, `update` and the like may be None."""
NULLABLE = ("baseline", "adapter", "update", "gpu_busy_share")
PATHS = ("../../x", "/etc/passwd", "a/../../b", "..", ".nonce", ".ssh", "x\0y", "C:\\x", "~root", "x" * 301, "\x1b[2J", "a\nb")
COUNTS = ("attempt", "capacity", "offset", "length", "file_size", "rank", "num_bytes", "num_steps", "next_offset", "pid", "frames_dropped")
PATH_FIELDS = ("agent", "incarnation", "file", "sha256", "run_id")
BOMBS = (
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xffabc", b"\xc6\xff\xff\xff\xffabc", b"\x91" * 3000,
    b"\x81\xa1v" * 1500, b"\xdd\x00\x00\xff\xff" * 100, b"\xd6\xff\0\0\0\1", b"\xd4\x01\x01", b"\xc9\xff\xff\xff\xff\1x", b"\xc1", b"",
    b"\x83\xa1v\x01\xa4type\xd6\xff\0\0\0\1\xa4body\x80", b"\x81\x01\x02", b"\x81\xc4\x01v\x01", b"\x81\xa1v\xa2\xff\xfe",
)  # fmt: skip


class FrameForge:
    """Makes malformed frames in one direction: out of its `valid` messages, and out of those of the `other` direction."""

    def __init__(self, seed: int, valid: Sequence[Message], other: Sequence[Message]) -> None:
        self._rng = random.Random(seed)
        self._frames = [encode(message) for message in valid]
        kinds = {type(message) for message in valid}
        self._foreign = [encode(message) for message in other if type(message) not in kinds]
        self._makers: tuple[Callable[[], Parts], ...] = (
            self.noise, self.cut, self.longer, self.not_an_envelope, self.bomb, self.wrong_version, self.wrong_value, self.wrong_value,
            self.absurd_name, self.negative_count, self.missing_key, self.extra_key, self.wrong_way, self.wrong_parts,
            self.many_wrong_items,
        )  # fmt: skip

    def frames(self, number: int) -> list[Parts]:
        """Return so many malformed messages, a few of them large."""
        frames = [self._rng.choice(self._makers)() for _ in range(number)]
        for index in self._rng.sample(range(number), number // 5000):
            frames[index] = self.oversized_blob()
        return frames

    def noise(self) -> Parts:
        # 0xc1 is the one byte that msgpack never uses: no luck makes a message of this.
        return [b"\xc1" + self._rng.randbytes(self._rng.randrange(200))]

    def cut(self) -> Parts:
        frame = self._rng.choice(self._frames)
        return [frame[: self._rng.randrange(len(frame))]]

    def longer(self) -> Parts:
        return [self._rng.choice(self._frames) + self._rng.randbytes(self._rng.randint(1, 20))]

    def not_an_envelope(self) -> Parts:
        value = self._rng.choice((None, 1, -1.5, "x", b"x", True, [], [1, 2, 3], {}, {"v": 1}, {"type": "Pulse"}, {"v": 1, "type": "x"}))
        return [msgpack.packb(value)]

    def bomb(self) -> Parts:
        return [self._rng.choice(BOMBS)]

    def wrong_version(self) -> Parts:
        envelope = self._envelope()
        envelope["v"] = self._rng.choice((0, PROTOCOL_VERSION + 1, -1, 1.0, "1", True, None, [1], {}, 1 << 63, "x" * 1000))
        return [msgpack.packb(envelope)]

    def wrong_value(self) -> Parts:
        envelope = self._envelope()
        holder, key = self._rng.choice(list(_places(envelope["body"])) or [(envelope, "body")])
        choices = [value for value in WRONG[type(holder[key])] if value is not None or key not in NULLABLE]
        holder[key] = self._rng.choice(choices)
        return [msgpack.packb(envelope)]

    def absurd_name(self) -> Parts:
        return self._replaced(PATH_FIELDS, PATHS)

    def negative_count(self) -> Parts:
        return self._replaced(COUNTS, (-1, -(1 << 63)))

    def missing_key(self) -> Parts:
        envelope = self._envelope()
        holder = self._rng.choice(list(_maps(envelope)))
        del holder[self._rng.choice(list(holder))]
        return [msgpack.packb(envelope)]

    def extra_key(self) -> Parts:
        envelope = self._envelope()
        self._rng.choice(list(_maps(envelope)))[self._rng.choice(("colour", "__class__", "v2", "", "../x"))] = 1
        return [msgpack.packb(envelope)]

    def wrong_way(self) -> Parts:
        return [self._rng.choice(self._foreign)]

    def wrong_parts(self) -> Parts:
        frame = self._rng.choice(self._frames)
        return self._rng.choice(([frame, frame], [b"", frame], [frame, b""], [b""] * 3, [frame] * 20, [b"", b""]))

    def many_wrong_items(self) -> Parts:
        envelope = msgpack.unpackb(encode(HEARTBEAT))
        envelope["body"]["job_ids"] = [None] * 500
        return [msgpack.packb(envelope)]

    def oversized_blob(self) -> Parts:
        envelope = msgpack.unpackb(encode(CHUNK))
        envelope["body"]["data"] = b"\0" * (MAX_CHUNK_BYTES + 1)
        return [msgpack.packb(envelope)]

    def _replaced(self, names: Sequence[str], values: Sequence[Any]) -> Parts:
        while True:
            envelope = self._envelope()
            named = [(holder, key) for holder, key in _places(envelope["body"]) if key in names]
            if named:
                holder, key = self._rng.choice(named)
                holder[key] = self._rng.choice(values)
                return [msgpack.packb(envelope)]

    def _envelope(self) -> dict[str, Any]:
        envelope = msgpack.unpackb(self._rng.choice(self._frames))
        assert isinstance(envelope, dict)
        return envelope


def _places(value: Any) -> Any:
    """Yield every (container, key) inside a value."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def _maps(value: Any) -> Any:
    """Yield the non-empty maps in a value, itself first."""
    if isinstance(value, dict):
        if value:
            yield value
        value = list(value.values())
    for item in value:
        if isinstance(item, dict | list):
            yield from _maps(item)
