"""Generation on vLLM's in-process engine: one base, one LoRA adapter a request.

vLLM applies one adapter a request, so a policy and an inner adapter are composed into one adapter of summed rank (exact), and every
composition has a name and folder of its own: vLLM's prefix cache is keyed by name and path, and a reused name would serve stale keys.
Unlike the transformers engine, results are equal to rounding only, not bit by bit.
"""

import hashlib
import importlib.util
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol.errors import SealError
from protocol.jobs import GeneratedEdit
from seal_runtime.engines.base import AnswerOutput, AnswerRequest, RequestFailed, SampleOutput, SampleRequest
from seal_runtime.errors import ConfigError, GenerateError, ReceiptError, StoreError

_PROBE_LOGPROBS = 20
_MAX_RANK = 512
_SEED_RANGE = 1 << 63


@dataclass(slots=True, kw_only=True)
class _Running:
    request: SampleRequest | AnswerRequest
    adapter_sha256: str
    expected: int
    outputs: dict[str, Any] = field(default_factory=dict)


class VllmGenerationEngine:
    """Hands requests to an LLMEngine in this process and collects what it finished at each step."""

    def __init__(
        self, model: str, *, dtype: str, device: str, max_batch_rows: int, engine_args: Mapping[str, str | int | float | bool]
    ) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise ConfigError("engine 'vllm' needs the vllm package: install seal-runtime[vllm], or set engine: transformers")
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        from seal_runtime.engines.model_loading import resolve_model_path

        defaults: dict[str, Any] = {
            "dtype": dtype,
            "max_num_seqs": max_batch_rows,
            "enable_lora": True,
            "max_loras": 8,
            "max_lora_rank": 128,
            "enforce_eager": device == "cpu",
            "max_logprobs": _PROBE_LOGPROBS,
            "disable_log_stats": True,
        }
        if device == "cpu":
            defaults |= {"kv_cache_memory_bytes": 256 << 20, "block_size": 32}
        try:
            self._engine = LLMEngine.from_engine_args(EngineArgs(model=resolve_model_path(model), **{**defaults, **engine_args}))
        except (TypeError, ValueError, OSError) as error:
            raise ConfigError(f"vLLM cannot serve {model!r} with engine_args {dict(engine_args)}: {error}") from error
        self._max_rank = int({**defaults, **engine_args}["max_lora_rank"])
        self._folder = tempfile.TemporaryDirectory(prefix="seal-vllm-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self._adapters: dict[str, Any] = {}
        self._running: dict[str, _Running] = {}
        self._finished: list[SampleOutput | AnswerOutput | RequestFailed] = []

    @property
    def num_pending(self) -> int:
        """Return how many submitted requests have not been returned by `step` yet."""
        return len(self._running) + len(self._finished)

    def submit(self, request: SampleRequest | AnswerRequest) -> None:
        """Hand a request to vLLM; what is wrong with it comes back from `step`."""
        try:
            if isinstance(request, SampleRequest):
                self._submit_sample(request)
            else:
                self._submit_answer(request)
        except SealError as error:
            self._fail(request.request_id, error)
        except ValueError as error:  # vLLM refuses the prompt or the parameters, such as a prompt beyond max_model_len
            self.cancel(request.request_id)
            self._fail(request.request_id, GenerateError(f"vLLM refused a request: {error}"))

    def step(self) -> Sequence[SampleOutput | AnswerOutput | RequestFailed]:
        """Let vLLM take one step."""
        if self._engine.has_unfinished_requests():
            for output in self._engine.step():
                if output.finished:
                    self._collect(output)
        finished, self._finished = self._finished, []
        return finished

    def cancel(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        self._finished = [result for result in self._finished if result.request_id != request_id]
        running = self._running.pop(request_id, None)
        if running is not None:
            self._engine.abort_request([f"{request_id}#{part}" for part in self._parts(running)])

    def close(self) -> None:
        """Forget all requests and remove the composed adapters. Idempotent."""
        for request_id in list(self._running):
            self.cancel(request_id)
        self._finished.clear()
        self._folder.cleanup()

    def _submit_sample(self, request: SampleRequest) -> None:
        lora, _ = self._lora(request.policy.adapters)
        self._running[request.request_id] = _Running(request=request, adapter_sha256="", expected=len(request.seeds))
        for index, seed in enumerate(request.seeds):
            sampling = request.sampling
            self._add(
                f"{request.request_id}#{index}",
                request.prompt,
                lora,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_new_tokens,
                seed=seed % _SEED_RANGE,
                logprobs=0,
            )

    def _submit_answer(self, request: AnswerRequest) -> None:
        policy_lora, _ = self._lora(request.policy.adapters)
        chain = request.policy.adapters if request.adapter is None else (*request.policy.adapters, request.adapter)
        lora, sha256 = self._lora(chain) if request.adapter is not None else (policy_lora, "")
        probes = 2 if request.adapter is not None else 0
        self._running[request.request_id] = _Running(request=request, adapter_sha256=sha256, expected=len(request.prompts) + probes)
        for index, prompt in enumerate(request.prompts):
            self._add(f"{request.request_id}#{index}", prompt, lora, temperature=0.0, max_tokens=request.max_new_tokens, stop=["\n"])
        if probes:
            for name, adapter in (("with", lora), ("without", policy_lora)):
                part = f"{request.request_id}#{name}"
                self._add(part, request.prompts[0], adapter, temperature=0.0, max_tokens=1, logprobs=_PROBE_LOGPROBS)

    def _add(self, part_id: str, prompt: str, lora: Any, **sampling: Any) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **sampling)
        self._engine.add_request(part_id, prompt, params, lora_request=lora)

    def _lora(self, chain: tuple[Path, ...]) -> tuple[Any, str]:
        """Return vLLM's handle for the composition of a chain, and the SHA-256 of the chain's last adapter."""
        from vllm.lora.request import LoRARequest

        from seal_runtime.engines.adapter_files import read_adapter_with_hash, write_adapter
        from seal_runtime.engines.adapter_merging import compose_adapters, pad_rank

        if not chain:
            return None, ""
        loaded = [read_adapter_with_hash(folder) for folder in chain]
        name = hashlib.sha256("/".join(sha256 for _, sha256 in loaded).encode()).hexdigest()
        if name not in self._adapters:
            adapter = compose_adapters([adapter for adapter, _ in loaded])
            if adapter.rank > self._max_rank:
                raise ReceiptError(
                    f"policy and adapter have together rank {adapter.rank}, more than max_lora_rank {self._max_rank}: "
                    f"raise engine_args.max_lora_rank (vLLM takes up to {_MAX_RANK})"
                )
            folder = Path(self._folder.name) / name
            write_adapter(folder, pad_rank(adapter, 8))
            self._adapters[name] = LoRARequest(name, len(self._adapters) + 1, str(folder))
        return self._adapters[name], loaded[-1][1]

    def _collect(self, output: Any) -> None:
        request_id, _, part = output.request_id.rpartition("#")
        running = self._running.get(request_id)
        if running is None:
            return
        running.outputs[part] = output
        if len(running.outputs) == running.expected:
            del self._running[request_id]
            request = running.request
            if isinstance(request, SampleRequest):
                self._finished.append(_sample_output(request, running))
            else:
                self._finish_answer(request, running)

    def _finish_answer(self, request: AnswerRequest, running: _Running) -> None:
        delta = _probe_delta(running) if request.adapter is not None else 0.0
        if request.adapter is not None and delta == 0.0:
            error = ReceiptError(
                f"adapter {running.adapter_sha256[:12]} changes no log-probability after the first prompt: it has no effect"
            )
            self._fail(request.request_id, error)
            return
        texts = [running.outputs[str(index)].outputs[0].text for index in range(len(request.prompts))]
        answers = tuple(text.partition("\n")[0].strip() for text in texts)
        self._finished.append(
            AnswerOutput(request_id=request.request_id, answers=answers, adapter_sha256=running.adapter_sha256, probe_delta=delta)
        )

    def _fail(self, request_id: str, error: SealError) -> None:
        self._finished.append(RequestFailed(request_id=request_id, error=error, retryable=isinstance(error, StoreError)))

    def _parts(self, running: _Running) -> list[str]:
        count = len(running.request.seeds) if isinstance(running.request, SampleRequest) else len(running.request.prompts)
        return [*map(str, range(count)), "with", "without"]


def _sample_output(request: SampleRequest, running: _Running) -> SampleOutput:
    edits = []
    for index in range(len(request.seeds)):
        completion = running.outputs[str(index)].outputs[0]
        logprobs = [entry[token].logprob for entry, token in zip(completion.logprobs, completion.token_ids, strict=True)]
        edits.append(
            GeneratedEdit(
                text=completion.text,
                token_ids=tuple(completion.token_ids),
                logprobs=tuple(logprobs),
                finish_reason="stop" if completion.finish_reason == "stop" else "length",
            )
        )
    prompt_tokens = len(running.outputs["0"].prompt_token_ids)
    return SampleOutput(request_id=request.request_id, edits=tuple(edits), prompt_tokens=prompt_tokens, prompt_truncated=0)


def _probe_delta(running: _Running) -> float:
    """Compare the most probable next tokens; those that only one side lists count as a change by themselves."""
    sides = [running.outputs[name].outputs[0].logprobs[0] for name in ("with", "without")]
    common = set(sides[0]) & set(sides[1])
    deltas = [abs(sides[0][token].logprob - sides[1][token].logprob) for token in common]
    if set(sides[0]) != set(sides[1]):
        deltas.append(max(abs(entry.logprob) for side in sides for entry in side.values() if math.isfinite(entry.logprob)))
    return max(deltas, default=0.0)
