"""One timed piece of the generation benchmark: an engine answers for all adapters, PEFT does, or an engine writes self-edits."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel

from protocol.jobs import SamplingSpec
from seal_runtime.bench.answering import answer_all
from seal_runtime.bench.generation_adapters import BASE, AdaptedEdit
from seal_runtime.bench.machine import Clock, timed
from seal_runtime.bench.peft_answers import generate_greedily
from seal_runtime.bench.peft_loop import release
from seal_runtime.engines.base import AnswerOutput, GenerationEngine, RequestFailed, SampleOutput, SampleRequest
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.base import Instance

EDITS_PER_CONTEXT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answers to all edits by edit, and what they took. `outputs` are the engine's; empty for PEFT."""

    seconds: float
    num_tokens: int
    answers: dict[str, tuple[str, ...]]
    outputs: dict[str, AnswerOutput]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """Self-edits that were written, and what they took."""

    seconds: float
    num_tokens: int
    num_edits: int


def time_answers(
    engine: GenerationEngine, edits: Sequence[AdaptedEdit], num_adapters: int, max_new_tokens: int, device: torch.device, clock: Clock
) -> Answered:
    """Answer with at most `num_adapters` adapters under way. Raises what ended a request."""
    requests = [edit.request(max_new_tokens) for edit in edits]
    outputs: dict[str, AnswerOutput] = {}
    seconds = timed(lambda: outputs.update(answer_all(engine, requests, num_adapters)), device, clock)
    return Answered(
        seconds=seconds,
        num_tokens=sum(len(ids) for output in outputs.values() for ids in output.token_ids),
        answers={name: output.answers for name, output in outputs.items()},
        outputs=outputs,
    )


def time_peft_answers(loaded: LoadedModel, edits: Sequence[AdaptedEdit], max_new_tokens: int, clock: Clock) -> Answered:
    """Answer with PEFT's `generate`, one adapter after the other, all its questions in one batch. The model must not be hooked."""
    generated: dict[str, list[list[int]]] = {}

    def answer() -> None:
        for edit in edits:
            model = PeftModel.from_pretrained(loaded.model, edit.folder)
            try:
                generated[edit.edit_id] = generate_greedily(loaded, model, edit.prompts, max_new_tokens)
            finally:
                release(loaded, model)

    seconds = timed(answer, loaded.device, clock)
    texts = {name: loaded.tokenizer.batch_decode(ids, skip_special_tokens=True) for name, ids in generated.items()}
    return Answered(
        seconds=seconds,
        num_tokens=sum(len(ids) for rows in generated.values() for ids in rows),
        answers={name: tuple(text.partition("\n")[0].strip() for text in rows) for name, rows in texts.items()},
        outputs={},
    )


def time_samples(
    engine: GenerationEngine, contexts: Sequence[Instance], sampling: SamplingSpec, device: torch.device, clock: Clock
) -> Sampled:
    """Write several self-edits for each context, all at once. Raises what ended a request."""
    for instance in contexts:
        seeds = tuple(derive_seed(0, "bench", instance.instance_id, index) for index in range(EDITS_PER_CONTEXT))
        engine.submit(SampleRequest(request_id=instance.instance_id, policy=BASE, prompt=instance.prompt, sampling=sampling, seeds=seeds))
    outputs: list[SampleOutput] = []

    def sample() -> None:
        while engine.num_pending:
            for output in engine.step():
                if isinstance(output, RequestFailed):
                    raise output.error
                assert isinstance(output, SampleOutput), output
                outputs.append(output)

    seconds = timed(sample, device, clock)
    num_tokens = sum(len(edit.token_ids) for output in outputs for edit in output.edits)
    return Sampled(seconds=seconds, num_tokens=num_tokens, num_edits=sum(len(output.edits) for output in outputs))
