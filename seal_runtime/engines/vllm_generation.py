"""Generation on vLLM: many requests in one continuous batch, each with an adapter of its own.

The policy is folded into the weights, as in the transformers engine: all requests at work share one policy version, those of another
wait for their turn (`policy_turns`). Every answer with an adapter carries a receipt (`vllm_receipts`). Results are equal to those of
the transformers engine to rounding only, not bit by bit.

Hazard: on CPU, vLLM lets rows without an adapter use the adapter in the last slot as soon as another row of the batch has one (index -1).
So there they get an adapter of zeros, or are done before the first row with an adapter begins.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from protocol.errors import SealError
from seal_runtime.engines.base import AnswerOutput, AnswerRequest, RequestFailed, SampleOutput, SampleRequest
from seal_runtime.engines.chat_prompts import spoken_to
from seal_runtime.engines.model_loading import resolve_model_path
from seal_runtime.engines.policy_turns import Waiting, next_policy
from seal_runtime.engines.prompt_fitting import fit_prompts
from seal_runtime.engines.vllm_adapters import HeldAdapter, VllmAdapters
from seal_runtime.engines.vllm_driver import Part, PartEnd, VllmDriver
from seal_runtime.engines.vllm_options import EngineArgs, Mode, cannot_serve, start_vllm
from seal_runtime.engines.vllm_policy import VllmPolicy, base_folder
from seal_runtime.engines.vllm_prompts import AnswerStops, linear_shapes, load_skeleton
from seal_runtime.engines.vllm_receipts import ROUNDING, first_logprobs, probe_delta
from seal_runtime.engines.vllm_requests import (
    Running,
    answer_parts,
    answers_of,
    check_request,
    edits_of,
    has_adapter,
    probe_part,
    request_id_of,
    sample_parts,
    warm_up_parts,
)
from seal_runtime.errors import ConfigError, EngineDiedError, GenerateError, ReceiptError, StoreError

_STEP_SECONDS = 0.25
_MAX_PROBES = 4096
_MAX_BREAKS = 3
_WARM_UP_SECONDS = 1800.0


class VllmGenerationEngine:
    """Hands requests to vLLM and collects what it finishes at each step. vLLM itself bounds and schedules the batch."""

    def __init__(
        self,
        model: str,
        *,
        dtype: str,
        device: str,
        max_batch_rows: int,
        mode: Mode,
        engine_args: EngineArgs,
        chat: bool = False,
        parse_special_tokens: bool = False,
    ) -> None:
        self._vllm, arguments = start_vllm(
            model, dtype=dtype, device=device, max_batch_rows=max_batch_rows, mode=mode, engine_args=engine_args
        )
        try:
            revision = None if "revision" not in arguments else str(arguments["revision"])
            skeleton = load_skeleton(model, revision, int(self._vllm.model_config.max_model_len))
            self._loaded = spoken_to(skeleton, chat=chat, parse_special_tokens=parse_special_tokens)
            self._prepare(self._vllm, arguments, device, base_folder(resolve_model_path(model), revision))
        except RuntimeError as error:  # the first generation shows what vLLM's kernels cannot do
            self._vllm.close()
            raise cannot_serve(model, engine_args, error) from error
        except BaseException:
            self._vllm.close()
            raise

    def _prepare(self, vllm: VllmDriver, arguments: EngineArgs, device: str, weights: Path) -> None:
        shapes = linear_shapes(self._loaded.model)
        self._adapters = VllmAdapters(vllm, shapes, int(arguments["max_lora_rank"]))
        self._policy = VllmPolicy(vllm, weights, shapes, self._adapters.folder)
        self._takes_adapters = bool(arguments["enable_lora"])
        self._plain_rows_need_zeros = device == "cpu" and self._takes_adapters
        self._rounding = ROUNDING.get(str(vllm.model_config.dtype).removeprefix("torch."), max(ROUNDING.values()))
        self._stops = sorted(self._loaded.stop_token_ids)
        self._answer_stops = AnswerStops(self._loaded.tokenizer, self._stops)
        self._waiting: list[tuple[float, SampleRequest | AnswerRequest]] = []
        self._running: dict[str, Running] = {}
        self._finished: list[SampleOutput | AnswerOutput | RequestFailed] = []
        self._plain_probes: dict[tuple[int, ...], dict[int, float]] = {}
        self._fold_seconds = 0.0
        self._num_breaks = 0
        self._warm_up()

    @property
    def num_pending(self) -> int:
        """Return how many submitted requests have not been returned by `step` yet."""
        return len(self._waiting) + len(self._running) + len(self._finished)

    def submit(self, request: SampleRequest | AnswerRequest) -> None:
        """Queue a request; what is wrong with it comes back from `step`."""
        self._waiting.append((time.monotonic(), request))

    def step(self) -> Sequence[SampleOutput | AnswerOutput | RequestFailed]:
        """Generate for about a quarter of a second, or until a request is finished. Raises EngineDiedError when vLLM is gone for good."""
        deadline = time.monotonic() + _STEP_SECONDS
        self._admit()
        try:
            while self._vllm.num_parts and not self._finished and (left := deadline - time.monotonic()) > 0:
                for end in self._vllm.step(left):
                    self._num_breaks = 0
                    self._collect(end)
        except EngineDiedError:
            raise
        except RuntimeError as error:  # out of memory, a kernel that fails: the requests at work are lost
            self._broke(error)
        finished, self._finished = self._finished, []
        return finished

    def cancel(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        self._waiting = [entry for entry in self._waiting if entry[1].request_id != request_id]
        self._finished = [result for result in self._finished if result.request_id != request_id]
        running = self._running.get(request_id)
        if running is not None:
            self._vllm.abort([part for part in running.parts if part not in running.outputs])
            self._end(request_id)

    def close(self) -> None:
        """Forget all requests, end vLLM and remove the adapters from disk. Idempotent."""
        self._waiting.clear()
        self._running.clear()
        self._finished.clear()
        self._plain_probes.clear()
        self._vllm.close()
        self._adapters.close()

    def _admit(self) -> None:
        """Hand waiting requests to vLLM: those of the policy whose turn it is, in the order of submission."""
        while self._waiting:
            waiting = [Waiting(policy=request.policy.adapters, since=since) for since, request in self._waiting]
            now, busy = time.monotonic(), bool(self._running)
            chain = next_policy(self._policy.chain, waiting, busy=busy, fold_seconds=self._fold_seconds, now=now)
            if chain is None or (chain != self._policy.chain and not self._fold(chain)):
                if chain is None:
                    return
                continue
            entry = next(entry for entry in self._waiting if entry[1].policy.adapters == chain)
            if has_adapter(entry[1]) and self._plain_rows_need_zeros and any(not running.adapters for running in self._running.values()):
                return
            self._waiting.remove(entry)
            try:
                self._begin(entry[1])
            except EngineDiedError:
                raise
            except SealError as error:
                self._fail(entry[1].request_id, error)

    def _fold(self, chain: tuple[Path, ...]) -> bool:
        """Fold a policy in while nothing runs; when that fails, all requests that wait for it fail."""
        began = time.monotonic()
        self._adapters.unload_idle()
        self._plain_probes.clear()
        try:
            self._policy.fold(chain)
        except EngineDiedError:
            raise
        except SealError as error:
            for request in [request for _, request in self._waiting if request.policy.adapters == chain]:
                self._fail(request.request_id, error, retryable=not isinstance(error, ReceiptError))
            return False
        self._fold_seconds = time.monotonic() - began
        return True

    def _begin(self, request: SampleRequest | AnswerRequest) -> None:
        check_request(request)
        if has_adapter(request) and not self._takes_adapters:
            raise GenerateError("asked to answer with an adapter, but engine_args.enable_lora is false: set it to true for evaluators")
        prompts = (request.prompt,) if isinstance(request, SampleRequest) else request.prompts
        asked = request.sampling.max_new_tokens if isinstance(request, SampleRequest) else request.max_new_tokens
        running = Running(request=request, fitted=fit_prompts(self._loaded, prompts, asked))
        self._running[request.request_id] = running
        if isinstance(request, SampleRequest):
            parts = list(sample_parts(request, running.fitted, self._no_adapter(running), self._stops))
        else:
            parts = self._answer_parts(request, running)
        running.parts += [part.name for part in parts]
        self._vllm.add(parts)

    def _answer_parts(self, request: AnswerRequest, running: Running) -> list[Part]:
        if request.adapter is None:
            return list(answer_parts(request, running.fitted, self._no_adapter(running), self._answer_stops.tokens(request.stop)))
        adapter = self._adapters.borrow(request.adapter)
        running.adapters.append(adapter)
        parts = list(answer_parts(request, running.fitted, adapter, self._answer_stops.tokens(request.stop)))
        running.plain_probe = self._plain_probes.get(tuple(running.fitted.prompts[0]))
        if running.plain_probe is None:
            parts.append(probe_part(running, self._no_adapter(running)))
        return parts

    def _no_adapter(self, running: Running) -> HeldAdapter | None:
        """Return what a row of the policy alone gets: nothing, or zeros where others of the batch have adapters (see the hazard)."""
        if not self._plain_rows_need_zeros or not any(other.adapters for other in self._running.values()):
            return None
        zeros = self._adapters.borrow_without_effect()
        running.adapters.append(zeros)
        return zeros

    def _collect(self, end: PartEnd) -> None:
        request_id = request_id_of(end.name)
        running = self._running.get(request_id)
        if running is None:
            return
        if end.refusal:
            self._fail(request_id, GenerateError(end.refusal))
            return
        running.outputs[end.name] = end.output
        if len(running.outputs) < len(running.parts):
            return
        try:
            result = self._result(running.request, running)
        except ReceiptError as error:
            self._fail(request_id, error)
        else:
            self._end(request_id)
            self._finished.append(result)

    def _result(self, request: SampleRequest | AnswerRequest, running: Running) -> SampleOutput | AnswerOutput:
        if isinstance(request, SampleRequest):
            return edits_of(self._loaded, request, running)
        delta = 0.0 if request.adapter is None else self._probe(request, running)
        return answers_of(self._loaded, request, running, self._policy.sha256s, delta)  # no fold while anything runs

    def _probe(self, request: AnswerRequest, running: Running) -> float:
        """Return what the adapter changes. The adapted side is the request that answers the first question. Raises ReceiptError."""
        if running.plain_probe is None:
            running.plain_probe = first_logprobs(running.outputs[running.probe_name])
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

    def _broke(self, error: RuntimeError) -> None:
        """Fail the requests at work. Raises EngineDiedError when vLLM breaks again and again with nothing finished in between."""
        reason = f"vLLM broke with {len(self._running)} requests at work: {' '.join(str(error).split())[:300]}"
        self._num_breaks += 1
        if self._num_breaks >= _MAX_BREAKS:
            raise EngineDiedError(f"{reason} ({self._num_breaks} times in a row)") from error
        for request_id in list(self._running):
            self._fail(request_id, GenerateError(reason), retryable=True)

    def _fail(self, request_id: str, error: SealError, *, retryable: bool = False) -> None:
        self.cancel(request_id)
        self._finished.append(RequestFailed(request_id=request_id, error=error, retryable=retryable or isinstance(error, StoreError)))

    def _end(self, request_id: str) -> None:
        for held in self._running.pop(request_id).adapters:
            self._adapters.give_back(held)

    def _warm_up(self) -> None:
        """Generate a little, without and with an adapter, so that first-use costs come before any deadline. Raises ConfigError."""
        self._run_alone(warm_up_parts(self._loaded.eos_token_id, None))
        if self._takes_adapters:
            zeros = self._adapters.borrow_without_effect()
            self._run_alone(warm_up_parts(self._loaded.eos_token_id, zeros))
            self._adapters.give_back(zeros)

    def _run_alone(self, parts: Iterable[Part]) -> None:
        deadline = time.monotonic() + _WARM_UP_SECONDS
        self._vllm.add(list(parts))
        while self._vllm.num_parts:
            if time.monotonic() > deadline:
                raise ConfigError(f"vLLM did not answer within {_WARM_UP_SECONDS:g} s of its start: see its output")
            for end in self._vllm.step(_STEP_SECONDS):
                if end.refusal:
                    raise ConfigError(f"vLLM does not serve this model: {end.refusal}")
