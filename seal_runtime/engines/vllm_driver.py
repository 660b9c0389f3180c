"""The few things that the engine asks of vLLM, whether it runs on this thread or in a process of its own.

Invariant: every part that was added comes back from `step` exactly once, unless it was aborted. A part is one prompt with its sampling
parameters; its name is unique among those at work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from seal_runtime.errors import GenerateError


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One prompt for vLLM. `lora` is a LoRARequest or None; `sampling` has the keyword arguments of SamplingParams."""

    name: str
    prompt_ids: list[int]
    lora: Any
    sampling: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEnd:
    """What became of a part: vLLM's RequestOutput, or why there is none."""

    name: str
    output: Any
    refusal: str = ""


class VllmDriver(Protocol):
    """Runs vLLM. All methods belong to one thread and raise EngineDiedError once vLLM is gone for good."""

    @property
    def model_config(self) -> Any:
        """Return vLLM's ModelConfig."""
        ...

    @property
    def num_parts(self) -> int:
        """Return how many parts are at work."""
        ...

    def add(self, parts: Sequence[Part]) -> None:
        """Hand parts over. What vLLM refuses comes back from `step` or is a GenerateError."""
        ...

    def step(self, timeout_seconds: float) -> list[PartEnd]:
        """Return the parts that ended, after at most about `timeout_seconds`. Raises RuntimeError when vLLM broke under its requests."""
        ...

    def abort(self, names: Sequence[str]) -> None:
        """Drop parts; unknown ones are ignored."""
        ...

    def add_lora(self, lora: Any) -> bool:
        """Load an adapter. Raises ValueError, KeyError or RuntimeError when vLLM refuses it."""
        ...

    def remove_lora(self, lora_id: int) -> None:
        """Unload an adapter."""
        ...

    def reload_weights(self, folder: str) -> None:
        """Serve the weights of a folder from now on and forget cached prefixes; nothing may be at work. Raises as `add_lora`."""
        ...

    def close(self) -> None:
        """End vLLM. Idempotent."""
        ...


def refusals() -> tuple[type[Exception], ...]:
    """Return what vLLM raises for a request that it does not take; up to 0.31 all of these were ValueErrors."""
    from vllm import exceptions

    client_error = getattr(exceptions, "VLLMClientError", ValueError)
    assert isinstance(client_error, type)
    return (ValueError, client_error)


def sampling_params(part: Part) -> Any:
    """Return vLLM's form of a part's sampling. Raises GenerateError when vLLM refuses it."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    try:
        return SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, detokenize=False, **part.sampling)
    except refusals() as error:
        raise GenerateError(f"vLLM refused a request: {error}") from error


class InProcessDriver:
    """Steps vLLM's LLMEngine on the caller's thread."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._names: set[str] = set()

    @property
    def model_config(self) -> Any:
        """Return vLLM's ModelConfig."""
        return self._engine.model_config

    @property
    def num_parts(self) -> int:
        """Return how many parts are at work."""
        return len(self._names)

    def add(self, parts: Sequence[Part]) -> None:
        """Hand parts over."""
        for part in parts:
            params = sampling_params(part)
            try:
                self._engine.add_request(part.name, {"prompt_token_ids": part.prompt_ids}, params, lora_request=part.lora)
            except refusals() as error:
                raise GenerateError(f"vLLM refused a request: {error}") from error
            self._names.add(part.name)

    def step(self, timeout_seconds: float) -> list[PartEnd]:
        """Generate one token for every part that fits into the batch; this may take longer than asked for."""
        outputs = [output for output in self._engine.step() if output.finished] if self._names else []
        self._names -= {output.request_id for output in outputs}
        return [PartEnd(name=output.request_id, output=output) for output in outputs]

    def abort(self, names: Sequence[str]) -> None:
        """Drop parts."""
        self._engine.abort_request(list(names))
        self._names -= set(names)

    def add_lora(self, lora: Any) -> bool:
        """Load an adapter."""
        return bool(self._engine.add_lora(lora))

    def remove_lora(self, lora_id: int) -> None:
        """Unload an adapter."""
        self._engine.remove_lora(lora_id)

    def reload_weights(self, folder: str) -> None:
        """Serve other weights."""
        self._engine.collective_rpc("reload_weights", kwargs={"weights_path": folder})
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("vLLM did not forget its cached prefixes, which are those of other weights")

    def close(self) -> None:
        """Release vLLM's memory and end its workers."""
        self._engine.engine_core.shutdown()
