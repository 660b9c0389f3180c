"""Generation on vLLM's engine, stepped in this process: many requests in one continuous batch, each with an adapter of its own.

The policy is folded into the weights, as in the transformers engine: all requests at work share one policy version; those of another wait
until these are done, the oldest version first. Every answer with an adapter carries a receipt (`vllm_receipts`). Results are equal to
those of the transformers engine to rounding only, not bit by bit.

Hazard: on CPU, vLLM lets rows without an adapter use the adapter in the last slot as soon as another row of the batch has one (index -1).
So there they get an adapter of zeros, or are done before the first row with an adapter begins.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol.errors import SealError
from protocol.jobs import GeneratedEdit
from seal_runtime.engines.base import AnswerOutput, AnswerRequest, RequestFailed, SampleOutput, SampleRequest
from seal_runtime.engines.model_loading import resolve_model_path
from seal_runtime.engines.prompt_fitting import FittedPrompts, fit_prompts
from seal_runtime.engines.vllm_adapters import HeldAdapter, VllmAdapters
from seal_runtime.engines.vllm_options import PROBE_LOGPROBS, EngineArgs, start_engine
from seal_runtime.engines.vllm_policy import VllmPolicy, base_folder
from seal_runtime.engines.vllm_prompts import decode, linear_shapes, load_skeleton, newline_tokens
from seal_runtime.engines.vllm_receipts import ROUNDING, first_logprobs, probe_delta
from seal_runtime.errors import GenerateError, ReceiptError, StoreError

_STEP_SECONDS = 0.25
_SEED_LIMIT = 1 << 63
_MAX_PROBES = 4096
_PROBE_PART = "probe"


@dataclass(slots=True, kw_only=True)
class _Running:
    """A request under way. `parts` names what was asked of vLLM; `outputs` has what came back; the first adapter is the one asked for."""

    request: SampleRequest | AnswerRequest
    fitted: FittedPrompts
    adapters: list[HeldAdapter] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    plain_probe: dict[int, float] | None = None


class VllmGenerationEngine:
    """Hands requests to an LLMEngine and collects what it finishes at each step. vLLM itself bounds and schedules the batch."""

    def __init__(self, model: str, *, dtype: str, device: str, max_batch_rows: int, engine_args: EngineArgs) -> None:
        self._engine, arguments = start_engine(model, dtype=dtype, device=device, max_batch_rows=max_batch_rows, engine_args=engine_args)
        revision = None if "revision" not in arguments else str(arguments["revision"])
        self._loaded = load_skeleton(model, revision, int(self._engine.model_config.max_model_len))
        shapes = linear_shapes(self._loaded.model)
        self._adapters = VllmAdapters(self._engine, shapes, arguments["max_lora_rank"])
        self._policy = VllmPolicy(self._engine, base_folder(resolve_model_path(model), revision), shapes, self._adapters.folder)
        self._takes_adapters = bool(arguments["enable_lora"])
        self._plain_rows_need_zeros = device == "cpu" and self._takes_adapters
        self._rounding = ROUNDING.get(str(self._engine.model_config.dtype).removeprefix("torch."), max(ROUNDING.values()))
        self._stops = sorted(self._loaded.stop_token_ids)
        self._answer_stops = sorted({*self._stops, *newline_tokens(self._loaded.tokenizer)})
        self._waiting: list[SampleRequest | AnswerRequest] = []
        self._running: dict[str, _Running] = {}
        self._finished: list[SampleOutput | AnswerOutput | RequestFailed] = []
        self._plain_probes: dict[tuple[int, ...], dict[int, float]] = {}
        self._warm_up()

    @property
    def num_pending(self) -> int:
        """Return how many submitted requests have not been returned by `step` yet."""
        return len(self._waiting) + len(self._running) + len(self._finished)

    def submit(self, request: SampleRequest | AnswerRequest) -> None:
        """Queue a request; what is wrong with it comes back from `step`."""
        self._waiting.append(request)

    def step(self) -> Sequence[SampleOutput | AnswerOutput | RequestFailed]:
        """Generate for about a quarter of a second, or until a request is finished."""
        deadline = time.monotonic() + _STEP_SECONDS
        self._admit()
        try:
            while self._engine.has_unfinished_requests() and not self._finished and time.monotonic() < deadline:
                for output in self._engine.step():
                    if output.finished:
                        self._collect(output)
        except RuntimeError as error:  # out of memory, a kernel that fails: the requests at work are lost
            reason = f"vLLM broke with {len(self._running)} requests at work: {' '.join(str(error).split())[:300]}"
            for request_id in list(self._running):
                self._fail(request_id, GenerateError(reason), retryable=True)
        finished, self._finished = self._finished, []
        return finished

    def cancel(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        self._waiting = [request for request in self._waiting if request.request_id != request_id]
        self._finished = [result for result in self._finished if result.request_id != request_id]
        running = self._running.get(request_id)
        if running is not None:
            self._engine.abort_request([part for part in running.parts if part not in running.outputs])
            self._end(request_id)

    def close(self) -> None:
        """Forget all requests, release vLLM's memory and remove the adapters from disk. Idempotent."""
        for request_id in list(self._running):
            self.cancel(request_id)
        self._waiting.clear()
        self._finished.clear()
        self._plain_probes.clear()
        self._adapters.close()
        self._engine.engine_core.shutdown()

    def _admit(self) -> None:
        """Hand waiting requests to vLLM, the oldest policy first and else in the order of submission."""
        while self._waiting:
            request = min(self._waiting, key=lambda request: request.policy.version)
            if request.policy.adapters != self._policy.chain:
                if self._running:
                    return
                if not self._fold(request.policy.adapters):
                    continue
            if _has_adapter(request) and any(not running.adapters for running in self._running.values()) and self._plain_rows_need_zeros:
                return
            self._waiting.remove(request)
            try:
                self._begin(request)
            except SealError as error:
                self._fail(request.request_id, error)
            except ValueError as error:  # vLLM refuses the parameters
                self._fail(request.request_id, GenerateError(f"vLLM refused a request: {error}"))

    def _fold(self, chain: tuple[Path, ...]) -> bool:
        """Fold a policy in while nothing runs; when that fails, all requests that wait for it fail."""
        self._adapters.unload_idle()
        self._plain_probes.clear()
        try:
            self._policy.fold(chain)
        except SealError as error:
            for request in [request for request in self._waiting if request.policy.adapters == chain]:
                self._fail(request.request_id, error)
            return False
        return True

    def _begin(self, request: SampleRequest | AnswerRequest) -> None:
        _check(request)
        if _has_adapter(request) and not self._takes_adapters:
            raise GenerateError("asked to answer with an adapter, but engine_args.enable_lora is false: set it to true for evaluators")
        prompts = (request.prompt,) if isinstance(request, SampleRequest) else request.prompts
        asked = request.sampling.max_new_tokens if isinstance(request, SampleRequest) else request.max_new_tokens
        running = _Running(request=request, fitted=fit_prompts(self._loaded, prompts, asked))
        self._running[request.request_id] = running
        if isinstance(request, SampleRequest):
            self._begin_sample(request, running)
        else:
            self._begin_answer(request, running)

    def _begin_sample(self, request: SampleRequest, running: _Running) -> None:
        sampling = request.sampling
        adapter = self._no_adapter(running)
        for index, seed in enumerate(request.seeds):
            self._add(
                f"{request.request_id}#{index}",
                running.fitted.prompts[0],
                adapter,
                running,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=running.fitted.max_new_tokens,
                seed=seed,
                logprobs=0,
                stop_token_ids=self._stops,
            )

    def _begin_answer(self, request: AnswerRequest, running: _Running) -> None:
        prompts, limit = running.fitted.prompts, running.fitted.max_new_tokens
        if request.adapter is None:
            adapter = self._no_adapter(running)
        else:
            adapter = self._adapters.borrow(request.adapter)
            running.adapters.append(adapter)
        for index, ids in enumerate(prompts):
            probes = PROBE_LOGPROBS if index == 0 and request.adapter is not None else None
            sampling = {"temperature": 0.0, "max_tokens": limit, "stop_token_ids": self._answer_stops, "logprobs": probes}
            self._add(f"{request.request_id}#{index}", ids, adapter, running, **sampling)
        running.plain_probe = self._plain_probes.get(tuple(prompts[0]))
        if request.adapter is not None and running.plain_probe is None:
            part = f"{request.request_id}#{_PROBE_PART}"
            self._add(part, prompts[0], self._no_adapter(running), running, temperature=0.0, max_tokens=1, logprobs=PROBE_LOGPROBS)

    def _no_adapter(self, running: _Running) -> HeldAdapter | None:
        """Return what a row of the policy alone gets: nothing, or zeros where others of the batch have adapters (see the hazard)."""
        if not self._plain_rows_need_zeros or not any(other.adapters for other in self._running.values()):
            return None
        zeros = self._adapters.borrow_without_effect()
        running.adapters.append(zeros)
        return zeros

    def _add(self, part: str, ids: list[int], adapter: HeldAdapter | None, running: _Running | None, **sampling: Any) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, detokenize=False, **sampling)
        self._engine.add_request(part, {"prompt_token_ids": ids}, params, lora_request=None if adapter is None else adapter.lora)
        if running is not None:
            running.parts.append(part)

    def _collect(self, output: Any) -> None:
        request_id = output.request_id.rpartition("#")[0]
        running = self._running.get(request_id)
        if running is None:
            return
        running.outputs[output.request_id] = output
        if len(running.outputs) < len(running.parts):
            return
        request = running.request
        try:
            result = self._edits(request, running) if isinstance(request, SampleRequest) else self._answers(request, running)
        except ReceiptError as error:
            self._fail(request_id, error)
        else:
            self._end(request_id)
            self._finished.append(result)

    def _edits(self, request: SampleRequest, running: _Running) -> SampleOutput:
        edits = tuple(self._edit(running.outputs[part].outputs[0]) for part in running.parts)
        fitted = running.fitted
        return SampleOutput(
            request_id=request.request_id, edits=edits, prompt_tokens=len(fitted.prompts[0]), prompt_truncated=fitted.num_truncated
        )

    def _edit(self, completion: Any) -> GeneratedEdit:
        token_ids = tuple(int(token) for token in completion.token_ids)
        logprobs = [float(entry[token].logprob) for entry, token in zip(completion.logprobs, token_ids, strict=True)]
        return GeneratedEdit(
            text=decode(self._loaded, token_ids),
            token_ids=token_ids,
            logprobs=tuple(logprobs),
            finish_reason="stop" if completion.finish_reason == "stop" else "length",
        )

    def _answers(self, request: AnswerRequest, running: _Running) -> AnswerOutput:
        sha256, delta = "", 0.0
        if request.adapter is not None:
            sha256, delta = running.adapters[0].sha256, self._probe(request, running)
        outputs = [running.outputs[part] for part in running.parts[: len(request.prompts)]]
        texts = [decode(self._loaded, output.outputs[0].token_ids) for output in outputs]
        answers = tuple(text.partition("\n")[0].strip() for text in texts)
        return AnswerOutput(request_id=request.request_id, answers=answers, adapter_sha256=sha256, probe_delta=delta)

    def _probe(self, request: AnswerRequest, running: _Running) -> float:
        """Return what the adapter changes. The adapted side is the request that answers the first question. Raises ReceiptError."""
        if running.plain_probe is None:
            running.plain_probe = first_logprobs(running.outputs[f"{request.request_id}#{_PROBE_PART}"])
            if len(self._plain_probes) >= _MAX_PROBES:
                self._plain_probes.clear()
            self._plain_probes[tuple(running.fitted.prompts[0])] = running.plain_probe
        delta = probe_delta(first_logprobs(running.outputs[running.parts[0]]), running.plain_probe)
        if delta <= self._rounding:
            raise ReceiptError(
                f"adapter {str(request.adapter)!r} changes the log-probabilities after the first prompt by {delta:.1e}, which rounding "
                f"explains (up to {self._rounding:g}): it was not loaded, its tensors are not used or its training did nothing"
            )
        return delta

    def _fail(self, request_id: str, error: SealError, *, retryable: bool = False) -> None:
        self.cancel(request_id)
        self._finished.append(RequestFailed(request_id=request_id, error=error, retryable=retryable or isinstance(error, StoreError)))

    def _end(self, request_id: str) -> None:
        for held in self._running.pop(request_id).adapters:
            self._adapters.give_back(held)

    def _warm_up(self) -> None:
        """Generate a little, greedily and sampled, so that first-use costs come before any deadline."""
        ids = [self._loaded.eos_token_id] * 4
        self._add("warm-up#greedy", ids, None, None, temperature=0.0, max_tokens=2, logprobs=PROBE_LOGPROBS)
        self._add("warm-up#sampled", ids, None, None, temperature=1.0, top_p=0.9, seed=1, max_tokens=2, logprobs=0)
        while self._engine.has_unfinished_requests():
            self._engine.step()


def _has_adapter(request: SampleRequest | AnswerRequest) -> bool:
    return isinstance(request, AnswerRequest) and request.adapter is not None


def _check(request: SampleRequest | AnswerRequest) -> None:
    """Refuse what vLLM would not refuse itself, or would wait for without end. Raises GenerateError."""
    if isinstance(request, SampleRequest):
        if not request.seeds or not all(0 <= seed < _SEED_LIMIT for seed in request.seeds) or request.sampling.max_new_tokens < 1:
            raise GenerateError(f"expected at least one seed from 0 to 2**63 - 1 and max_new_tokens >= 1, got {request.seeds}")
    elif not request.prompts or request.max_new_tokens < 1:
        raise GenerateError(
            f"expected at least one prompt and max_new_tokens >= 1, got {len(request.prompts)} prompts, {request.max_new_tokens} tokens"
        )
