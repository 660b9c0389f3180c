"""Engines without a model, for tests of everything around them: deterministic, torch-free, instant unless told otherwise.

Invariant: an output is a function of the request alone (and, for answers, of the adapter's bytes), as with the real engines.
The adapters are valid PEFT files with made-up tensors; no answer is ever right except by accident.
"""

import hashlib
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from safetensors.numpy import save

from protocol.errors import SealError
from protocol.jobs import GeneratedEdit
from seal_runtime.engines.answer_ends import answer_text
from seal_runtime.engines.base import (
    AdaptOutput,
    AdaptRequest,
    AnswerOutput,
    AnswerRequest,
    Policy,
    RequestFailed,
    SampleOutput,
    SampleRequest,
)
from seal_runtime.errors import AdaptError, GenerateError, StoreError
from seal_runtime.store.adapters import CONFIG_FILE, TENSOR_FILE, adapter_sha256

_MAX_PAUSE_SECONDS = 0.02
_WIDTH = 8


_Request = TypeVar("_Request", AdaptRequest, SampleRequest, AnswerRequest, SampleRequest | AnswerRequest)


class _Schedule(Generic[_Request]):
    """Requests under way, at most `num_slots` at a time, each finished `delay_seconds` after it got its slot."""

    def __init__(self, num_slots: int, delay_seconds: float) -> None:
        self._num_slots = num_slots
        self._delay_seconds = delay_seconds
        self._waiting: list[_Request] = []
        self._active: list[tuple[float, _Request]] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._active)

    def add(self, request: _Request) -> None:
        self._waiting.append(request)

    def cancel(self, request_id: str) -> None:
        self._waiting = [request for request in self._waiting if request.request_id != request_id]
        self._active = [entry for entry in self._active if entry[1].request_id != request_id]

    def clear(self) -> None:
        self._waiting.clear()
        self._active.clear()

    def due(self) -> list[_Request]:
        """Return the requests whose time has come, after a short pause when there are none yet."""
        now = time.monotonic()
        while self._waiting and len(self._active) < self._num_slots:
            self._active.append((now + self._delay_seconds, self._waiting.pop(0)))
        if self._active and min(due_at for due_at, _ in self._active) > now:
            time.sleep(min(_MAX_PAUSE_SECONDS, min(due_at for due_at, _ in self._active) - now))
            now = time.monotonic()
        finished = [request for due_at, request in self._active if due_at <= now]
        self._active = [entry for entry in self._active if entry[0] > now]
        return finished


class FakeAdaptEngine:
    """Writes a small PEFT directory whose tensors are derived from the request.

    `delay_seconds` is the time a request holds its slot. Requests with `fail_substring` in a training text fail, as retryable
    or not according to `fail_retryable`; the empty string fails none.
    """

    def __init__(self, *, num_slots: int = 4, delay_seconds: float = 0.0, fail_substring: str = "", fail_retryable: bool = False) -> None:
        self._num_slots = num_slots
        self._fail_substring = fail_substring
        self._fail_retryable = fail_retryable
        self._schedule: _Schedule[AdaptRequest] = _Schedule(num_slots, delay_seconds)

    @property
    def num_slots(self) -> int:
        """Return how many adapters are trained at once."""
        return self._num_slots

    @property
    def num_pending(self) -> int:
        """Return how many submitted requests have not been returned by `step` yet."""
        return len(self._schedule)

    def submit(self, request: AdaptRequest) -> None:
        """Queue a request."""
        self._schedule.add(request)

    def step(self) -> Sequence[AdaptOutput | RequestFailed]:
        """Return the requests whose delay is over."""
        return [self._finish(request) for request in self._schedule.due()]

    def cancel(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        self._schedule.cancel(request_id)

    def close(self) -> None:
        """Forget everything."""
        self._schedule.clear()

    def _finish(self, request: AdaptRequest) -> AdaptOutput | RequestFailed:
        texts = [sequence.prompt + sequence.completion for sequence in request.sequences]
        if self._fail_substring and any(self._fail_substring in text for text in texts):
            return _failed(request.request_id, AdaptError(f"asked to fail on {self._fail_substring!r}"), self._fail_retryable)
        if not request.sequences:
            return _failed(request.request_id, AdaptError("expected at least one training sequence, got none"), False)
        try:
            digest = _digest("adapt", _lineage(request.policy), repr((request.sequences, request.lora, request.optim, request.seed)))
            _write_adapter(request.output_dir, request.lora.rank, request.lora.alpha, digest)
        except (StoreError, OSError) as error:
            return _failed(request.request_id, StoreError(f"cannot write adapter to {request.output_dir}: {error}"), True)
        optim = request.optim
        steps_of_epoch = -(-len(texts) // max(1, optim.batch_size))
        loss = 1.0 + int(digest[:4], 16) / 65536
        return AdaptOutput(
            request_id=request.request_id,
            output_dir=request.output_dir,
            num_steps=optim.num_steps or steps_of_epoch * optim.epochs,
            num_tokens=sum(len(text.split()) + 1 for text in texts),
            num_truncated=0,
            first_loss=loss + 1.0,
            final_loss=loss,
        )


class FakeGenerationEngine:
    """Derives edits from seeds (sentences of the prompt's own words) and answers from the adapter's hash.

    `delay_seconds`, `fail_substring` (looked for in prompts) and `fail_retryable` as in FakeAdaptEngine.
    """

    def __init__(
        self, *, max_batch_rows: int = 64, delay_seconds: float = 0.0, fail_substring: str = "", fail_retryable: bool = False
    ) -> None:
        self._fail_substring = fail_substring
        self._fail_retryable = fail_retryable
        self._schedule: _Schedule[SampleRequest | AnswerRequest] = _Schedule(max_batch_rows, delay_seconds)

    @property
    def num_pending(self) -> int:
        """Return how many submitted requests have not been returned by `step` yet."""
        return len(self._schedule)

    def submit(self, request: SampleRequest | AnswerRequest) -> None:
        """Queue a request."""
        self._schedule.add(request)

    def step(self) -> Sequence[SampleOutput | AnswerOutput | RequestFailed]:
        """Return the requests whose delay is over."""
        return [self._finish(request) for request in self._schedule.due()]

    def cancel(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        self._schedule.cancel(request_id)

    def close(self) -> None:
        """Forget everything."""
        self._schedule.clear()

    def _finish(self, request: SampleRequest | AnswerRequest) -> SampleOutput | AnswerOutput | RequestFailed:
        prompts = (request.prompt,) if isinstance(request, SampleRequest) else request.prompts
        if self._fail_substring and any(self._fail_substring in prompt for prompt in prompts):
            return _failed(request.request_id, GenerateError(f"asked to fail on {self._fail_substring!r}"), self._fail_retryable)
        try:
            return _sample(request) if isinstance(request, SampleRequest) else _answer(request)
        except StoreError as error:
            return _failed(request.request_id, error, True)


def _sample(request: SampleRequest) -> SampleOutput:
    lineage = _lineage(request.policy)
    words = request.prompt.split() or ["nothing"]
    edits = []
    for seed in request.seeds:
        source = random.Random(_digest("sample", lineage, repr((request.prompt, request.sampling, seed))))
        lines = [" ".join(source.choices(words, k=source.randint(3, 8))) for _ in range(source.randint(1, 4))]
        text = "\n".join(lines)
        token_ids = tuple(text.encode())[: request.sampling.max_new_tokens]
        edits.append(
            GeneratedEdit(
                text=bytes(token_ids).decode(errors="ignore"),
                token_ids=token_ids,
                logprobs=tuple(-source.random() for _ in token_ids),
                finish_reason="stop" if len(token_ids) < request.sampling.max_new_tokens else "length",
            )
        )
    return SampleOutput(request_id=request.request_id, edits=tuple(edits), prompt_tokens=len(words), prompt_truncated=0)


def _answer(request: AnswerRequest) -> AnswerOutput:
    sha256 = adapter_sha256(request.adapter) if request.adapter is not None else ""
    known = _lineage(request.policy) + sha256
    texts = ["answer-" + _digest("answer", known, prompt)[:8] + "\nand a second line" for prompt in request.prompts]
    answers = tuple(answer_text(text, request.stop) for text in texts)
    probe_delta = 0.0 if request.adapter is None else (1 + int(sha256[:4], 16)) / 65536
    return AnswerOutput(
        request_id=request.request_id,
        answers=answers,
        adapter_sha256=sha256,
        policy_sha256s=tuple(adapter_sha256(folder) for folder in request.policy.adapters),
        probe_delta=probe_delta,
    )


def _lineage(policy: Policy) -> str:
    return "/".join(adapter_sha256(folder) for folder in policy.adapters)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _failed(request_id: str, error: SealError, retryable: bool) -> RequestFailed:
    return RequestFailed(request_id=request_id, error=error, retryable=retryable)


def _write_adapter(folder: Path, rank: int, alpha: float, digest: str) -> None:
    source = np.random.Generator(np.random.PCG64(int(digest[:16], 16)))
    prefix = "base_model.model.model.layers.0.self_attn.q_proj."
    tensors = {
        prefix + "lora_A.weight": source.standard_normal((rank, _WIDTH), dtype=np.float32),
        prefix + "lora_B.weight": source.standard_normal((_WIDTH, rank), dtype=np.float32),
    }
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": ["q_proj"], "base_model_name_or_path": None}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TENSOR_FILE).write_bytes(save(tensors, metadata={"format": "np"}))
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
