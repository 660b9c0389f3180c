"""The contract of all engines: submit requests, step, collect what finished. Free of torch, so that fakes and agents import it.

An engine belongs to one agent and is called on that agent's main thread; threads of its own are its own affair. `step` does a bounded
amount of work (aim: below a second on the built-in model) so that the agent can take messages between steps; new requests may be
submitted while others are under way (continuous batching). Invariant: the output of a request does not depend on what else is in the
batch, on the order of submission or on the number of slots (bit-identical on one machine on CPU).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from protocol.errors import SealError
from protocol.jobs import GeneratedEdit, LoraSpec, OptimSpec, SamplingSpec, TrainingSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Base weights with these PEFT directories folded in, oldest first. Engines keep the base weights pristine (bit-exact revert)."""

    version: int
    adapters: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptRequest:
    """Train one adapter on base + policy and write it as a PEFT directory to `output_dir` (created by the engine)."""

    request_id: str
    policy: Policy
    sequences: tuple[TrainingSequence, ...]
    lora: LoraSpec
    optim: OptimSpec
    seed: int
    output_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptOutput:
    """What training one adapter gave; fields as in `protocol.jobs.AdaptResult`."""

    request_id: str
    output_dir: Path
    num_steps: int
    num_tokens: int
    num_truncated: int
    first_loss: float
    final_loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """Sample one continuation of `prompt` for each seed from base + policy. Sample i depends on seeds[i], not on its siblings."""

    request_id: str
    policy: Policy
    prompt: str
    sampling: SamplingSpec
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOutput:
    """The continuations in the order of the seeds."""

    request_id: str
    edits: tuple[GeneratedEdit, ...]
    prompt_tokens: int
    prompt_truncated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRequest:
    """Continue each prompt greedily with base + policy (+ adapter). `adapter` is a PEFT directory or None.

    An answer ends at the character `stop`, or with "" at the end-of-sequence token alone.
    """

    request_id: str
    policy: Policy
    adapter: Path | None
    prompts: tuple[str, ...]
    max_new_tokens: int
    stop: str = "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOutput:
    """Answers (stripped, up to the end-of-sequence token or the request's stop), and the facts that a receipt needs.

    `adapter_sha256` and, of the policy, `policy_sha256s` are computed from the very bytes that were loaded; `probe_delta` as in
    `protocol.jobs.Receipt`. `token_ids` are the generated tokens of each answer, the one that ended it included; empty from an engine that
    has none.
    """

    request_id: str
    answers: tuple[str, ...]
    adapter_sha256: str
    policy_sha256s: tuple[str, ...]
    probe_delta: float
    token_ids: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed:
    """A request that ended without output; the others are untouched.

    `retryable` is False when the same request would fail the same way on every agent (a diverged loss, text that cannot fit).
    """

    request_id: str
    error: SealError
    retryable: bool


class AdaptEngine(Protocol):
    """Trains many adapters at once on one frozen base."""

    @property
    def num_slots(self) -> int:
        """Return how many adapters are trained at once."""
        ...

    @property
    def num_pending(self) -> int:
        """Return how many submitted requests have not been returned by `step` yet."""
        ...

    def submit(self, request: AdaptRequest) -> None:
        """Queue a request. Raises nothing: whatever is wrong with it comes back from `step` as RequestFailed."""
        ...

    def step(self) -> Sequence[AdaptOutput | RequestFailed]:
        """Advance all active adapters by a bounded amount of work; return those that finished."""
        ...

    def cancel(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        ...

    def close(self) -> None:
        """Release memory and child processes. Idempotent."""
        ...


class GenerationEngine(Protocol):
    """Samples self-edits and answers questions, for many adapters at once."""

    @property
    def num_pending(self) -> int:
        """Return how many submitted requests have not been returned by `step` yet."""
        ...

    def submit(self, request: SampleRequest | AnswerRequest) -> None:
        """Queue a request. Raises nothing: whatever is wrong with it comes back from `step` as RequestFailed."""
        ...

    def step(self) -> Sequence[SampleOutput | AnswerOutput | RequestFailed]:
        """Advance generation by a bounded amount of work; return the requests that finished."""
        ...

    def cancel(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        ...

    def close(self) -> None:
        """Release memory and child processes. Idempotent."""
        ...
