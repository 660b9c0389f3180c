"""Do two engines give the same greedy answers, and where not, was it a tie?

Two engines whose log-probabilities are equal to e part only where the two tokens are within 2 e of each other. So a difference of more
than rounding is a fault of an engine: a wrong adapter, a stale cache, a wrong position.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from seal_runtime.bench.generation_results import Agreement
from seal_runtime.bench.peft_loop import release
from seal_runtime.engines.adapter_files import read_adapter, write_adapter
from seal_runtime.engines.adapter_merging import compose_adapters
from seal_runtime.engines.base import AnswerOutput, AnswerRequest
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.prompt_fitting import fit_prompts


def greedy_agreement(
    loaded: LoadedModel, requests: Sequence[AnswerRequest], ours: Mapping[str, AnswerOutput], theirs: Mapping[str, AnswerOutput]
) -> Agreement:
    """Compare the answers of two engines to the same requests. `loaded` is a model that no engine has hooked."""
    num_compared, gaps = 0, []
    for request in requests:
        pairs = list(zip(ours[request.request_id].token_ids, theirs[request.request_id].token_ids, strict=True))
        assert len(pairs) == len(request.prompts), f"{request.request_id}: an engine gave no token ids"
        num_compared += len(pairs)
        differing = [index for index, (one, other) in enumerate(pairs) if one != other]
        if differing:
            prompts = fit_prompts(loaded, request.prompts, request.max_new_tokens).prompts
            with _adapted(loaded, request) as model:
                gaps += [log_probability_gap(model, prompts[index], *pairs[index]) for index in differing]
    return Agreement(num_compared=num_compared, num_equal=num_compared - len(gaps), largest_gap=max(gaps, default=0.0))


def log_probability_gap(model: Any, prompt: Sequence[int], one: Sequence[int], other: Sequence[int]) -> float:
    """Return the difference (nats) of the two tokens' log-probabilities where two different continuations of a prompt part."""
    parting = next((index for index, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs), None)
    assert parting is not None, f"one answer goes on where the other ends, though both end by the same tokens: {one} and {other}"
    ids_1T = torch.tensor([[*prompt, *one[:parting]]], device=next(model.parameters()).device)
    with torch.no_grad():
        logprobs_V = torch.log_softmax(model(input_ids=ids_1T, use_cache=False).logits[0, -1].float(), dim=-1)
    return float((logprobs_V[one[parting]] - logprobs_V[other[parting]]).abs())


@contextmanager
def _adapted(loaded: LoadedModel, request: AnswerRequest) -> Iterator[Any]:
    """Yield the model with the request's policy and adapter, as one adapter of PEFT's."""
    folders = [*request.policy.adapters, *([] if request.adapter is None else [request.adapter])]
    if not folders:
        yield loaded.model
        return
    with tempfile.TemporaryDirectory(prefix="seal-agreement-") as folder:
        write_adapter(Path(folder), compose_adapters([read_adapter(source) for source in folders]))
        model = PeftModel.from_pretrained(loaded.model, folder)
        try:
            yield model
        finally:
            release(loaded, model)
