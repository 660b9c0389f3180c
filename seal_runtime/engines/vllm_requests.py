"""A request under way on vLLM: what it asks of vLLM, and its result once all of that has come back. Knows no engine."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from protocol.jobs import GeneratedEdit
from seal_runtime.engines.answer_ends import answer_text, check_stop
from seal_runtime.engines.base import AnswerOutput, AnswerRequest, SampleOutput, SampleRequest
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.prompt_fitting import FittedPrompts
from seal_runtime.engines.vllm_adapters import HeldAdapter
from seal_runtime.engines.vllm_driver import Part
from seal_runtime.engines.vllm_options import PROBE_LOGPROBS
from seal_runtime.engines.vllm_prompts import decode
from seal_runtime.errors import GenerateError

_SEED_LIMIT = 1 << 63
_PROBE_PART = "probe"


@dataclass(slots=True, kw_only=True)
class Running:
    """A request under way. `parts` names what was asked of vLLM; `outputs` has what came back; the first adapter is the one asked for."""

    request: SampleRequest | AnswerRequest
    fitted: FittedPrompts
    adapters: list[HeldAdapter] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    plain_probe: dict[int, float] | None = None

    @property
    def probe_name(self) -> str:
        """Return the name of the part that answers the first prompt without the adapter."""
        return f"{self.request.request_id}#{_PROBE_PART}"


def request_id_of(part: str) -> str:
    """Return the request that a part belongs to."""
    return part.rpartition("#")[0]


def has_adapter(request: SampleRequest | AnswerRequest) -> bool:
    """Say whether a request asks for an adapter on top of the policy."""
    return isinstance(request, AnswerRequest) and request.adapter is not None


def sample_parts(request: SampleRequest, fitted: FittedPrompts, adapter: HeldAdapter | None, stops: list[int]) -> Iterable[Part]:
    """Yield a part for each seed; vLLM shares the prompt among them."""
    for index, seed in enumerate(request.seeds):
        sampling = {
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "max_tokens": fitted.max_new_tokens,
            "seed": seed,
            "logprobs": 0,
            "stop_token_ids": stops,
        }
        yield _part(f"{request.request_id}#{index}", fitted.prompts[0], adapter, sampling)


def answer_parts(request: AnswerRequest, fitted: FittedPrompts, adapter: HeldAdapter | None, stops: list[int]) -> Iterable[Part]:
    """Yield a part for each question; the first is also the adapted side of the receipt's probe."""
    for index, ids in enumerate(fitted.prompts):
        probes = PROBE_LOGPROBS if index == 0 and request.adapter is not None else None
        sampling = {"temperature": 0.0, "max_tokens": fitted.max_new_tokens, "stop_token_ids": stops, "logprobs": probes}
        yield _part(f"{request.request_id}#{index}", ids, adapter, sampling)


def probe_part(running: Running, adapter: HeldAdapter | None) -> Part:
    """Return the part that asks the first question of the policy alone."""
    return _part(running.probe_name, running.fitted.prompts[0], adapter, {"temperature": 0.0, "max_tokens": 1, "logprobs": PROBE_LOGPROBS})


def warm_up_parts(token: int, adapter: HeldAdapter | None) -> Iterable[Part]:
    """Yield parts that use greedy decoding, sampling and log-probabilities once."""
    greedy = {"temperature": 0.0, "max_tokens": 2, "logprobs": PROBE_LOGPROBS}
    sampled = {"temperature": 1.0, "top_p": 0.9, "seed": 1, "max_tokens": 2, "logprobs": 0}
    for name, sampling in (("greedy", greedy), ("sampled", sampled)):
        yield _part(f"warm-up#{name}", [token] * 4, adapter, sampling)


def _part(name: str, ids: list[int], adapter: HeldAdapter | None, sampling: dict[str, Any]) -> Part:
    return Part(name=name, prompt_ids=ids, lora=None if adapter is None else adapter.lora, sampling=sampling)


def edits_of(loaded: LoadedModel, request: SampleRequest, running: Running) -> SampleOutput:
    """Return the edits in the order of the seeds."""
    edits = tuple(_edit(loaded, running.outputs[part].outputs[0]) for part in running.parts)
    fitted = running.fitted
    return SampleOutput(
        request_id=request.request_id, edits=edits, prompt_tokens=len(fitted.prompts[0]), prompt_truncated=fitted.num_truncated
    )


def _edit(loaded: LoadedModel, completion: Any) -> GeneratedEdit:
    token_ids = tuple(int(token) for token in completion.token_ids)
    logprobs = [float(entry[token].logprob) for entry, token in zip(completion.logprobs, token_ids, strict=True)]
    return GeneratedEdit(
        text=decode(loaded, token_ids),
        token_ids=token_ids,
        logprobs=tuple(logprobs),
        finish_reason="stop" if completion.finish_reason == "stop" else "length",
    )


def answers_of(
    loaded: LoadedModel, request: AnswerRequest, running: Running, policy_sha256s: tuple[str, ...], probe_delta: float
) -> AnswerOutput:
    """Return the answers in the order of the questions, with the facts of the receipt."""
    outputs = [running.outputs[part] for part in running.parts[: len(request.prompts)]]
    tokens = tuple(tuple(int(token) for token in output.outputs[0].token_ids) for output in outputs)
    answers = tuple(answer_text(decode(loaded, ids), request.stop) for ids in tokens)
    sha256 = "" if request.adapter is None else running.adapters[0].sha256
    return AnswerOutput(
        request_id=request.request_id,
        answers=answers,
        adapter_sha256=sha256,
        policy_sha256s=policy_sha256s,
        probe_delta=probe_delta,
        token_ids=tokens,
    )


def check_request(request: SampleRequest | AnswerRequest) -> None:
    """Refuse what vLLM would not refuse itself, or would wait for without end. Raises GenerateError."""
    if isinstance(request, SampleRequest):
        if not request.seeds or not all(0 <= seed < _SEED_LIMIT for seed in request.seeds) or request.sampling.max_new_tokens < 1:
            raise GenerateError(f"expected at least one seed from 0 to 2**63 - 1 and max_new_tokens >= 1, got {request.seeds}")
        return
    if not request.prompts or request.max_new_tokens < 1:
        raise GenerateError(
            f"expected at least one prompt and max_new_tokens >= 1, got {len(request.prompts)} prompts, {request.max_new_tokens} tokens"
        )
    check_stop(request.stop)
