"""Answers and samples equal those of PEFT's generate one at a time, and do not depend on what else is in the batch."""

from dataclasses import replace

import pytest
import torch
from peft import PeftModel

from protocol.jobs import SamplingSpec
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.adapter_files import LoraAdapter, read_adapter, write_adapter
from seal_runtime.engines.base import AnswerRequest, Policy, RequestFailed, SampleRequest
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.transformers_generation import TransformersGenerationEngine
from seal_runtime.errors import GenerateError, ReceiptError, StoreError
from seal_runtime.store.adapters import adapter_sha256

BASE = Policy(version=0, adapters=())
PROMPTS = ("Who was mayor of Arden?", "Where?", "Near which stone bridge does the river town lie, and when was it built?", "Why not?")
FREE = SamplingSpec(temperature=1.0, top_p=0.9, max_new_tokens=12)


def _adapters(family, adapt_request, drain, seeds):
    requests = [
        adapt_request(seed, num_sequences=3, lora={"targets": ("all-linear",)}, optim={"learning_rate": 2e-2, "epochs": 4})
        for seed in seeds
    ]
    drain(BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=4), requests)
    return {request.seed: request.output_dir for request in requests}


def _answers(name, adapter, prompts=PROMPTS, **changes):
    fields = {"policy": BASE, "adapter": adapter, "prompts": tuple(prompts), "max_new_tokens": 9} | changes
    return AnswerRequest(request_id=name, **fields)


def _samples(name, seeds, **changes):
    fields = {"policy": BASE, "prompt": PROMPTS[2], "sampling": FREE, "seeds": tuple(seeds)} | changes
    return SampleRequest(request_id=name, **fields)


def _generate_with_peft(loaded, model, prompt, max_new_tokens):
    ids = torch.tensor([loaded.tokenizer(prompt).input_ids])
    with torch.no_grad():
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=256
        )
    return loaded.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).partition("\n")[0].strip()


@pytest.mark.parametrize("family", ["tiny-gpt2", "tiny-llama", "tiny-mistral", "tiny-qwen2"])
def test_answers_with_many_adapters_equal_peft_one_at_a_time(family, adapt_request, drain):
    folders = _adapters(family, adapt_request, drain, (1, 2, 3))
    engine = TransformersGenerationEngine(load_model(f"random:{family}"), max_batch_rows=64)
    requests = [_answers(f"a{seed}", folder, PROMPTS[: 2 + seed % 3]) for seed, folder in folders.items()]
    results = drain(engine, [*requests, _answers("base", None)])
    loaded = load_model(f"random:{family}")
    assert results["base"].answers == tuple(_generate_with_peft(loaded, loaded.model, prompt, 9) for prompt in PROMPTS)
    assert (results["base"].adapter_sha256, results["base"].probe_delta) == ("", 0.0)
    for request in requests:
        model = PeftModel.from_pretrained(load_model(f"random:{family}").model, request.adapter)
        expected = tuple(_generate_with_peft(loaded, model, prompt, 9) for prompt in request.prompts)
        assert results[request.request_id].answers == expected
        assert results[request.request_id].adapter_sha256 == adapter_sha256(request.adapter)
        assert results[request.request_id].probe_delta > 1e-3


@pytest.mark.parametrize("family", ["tiny-gpt2", "tiny-llama", "tiny-mistral", "tiny-qwen2"])
def test_outputs_are_bit_identical_whatever_else_is_in_the_batch(family, adapt_request, drain):
    folders = _adapters(family, adapt_request, drain, (1, 2))
    requests = [
        _answers("a1", folders[1]),
        _answers("a2", folders[2], PROMPTS[1:3]),
        _answers("base", None, PROMPTS[:1]),
        _samples("s1", (11, 12, 13)),
        _samples("s2", (14,), prompt=PROMPTS[0]),
    ]
    lonely = TransformersGenerationEngine(load_model(f"random:{family}"), max_batch_rows=1)
    alone = {}
    for request in requests:
        alone |= drain(lonely, [request])
    crowded = TransformersGenerationEngine(load_model(f"random:{family}"), max_batch_rows=64, max_prefill_tokens=150)
    assert drain(crowded, requests[::-1]) == alone
    some = TransformersGenerationEngine(load_model(f"random:{family}"), max_batch_rows=5)
    assert drain(some, requests) == alone


def test_the_packed_mode_gives_the_same_text(adapt_request, drain):
    folders = _adapters("tiny-llama", adapt_request, drain, (1, 2))
    requests = [_answers("a1", folders[1]), _answers("a2", folders[2]), _answers("base", None), _samples("s", (1, 2))]
    grouped = drain(TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=64), requests)
    packed = drain(TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=64, mode="packed"), requests)
    for name in ("a1", "a2", "base"):
        assert packed[name].answers == grouped[name].answers
    assert [edit.token_ids for edit in packed["s"].edits] == [edit.token_ids for edit in grouped["s"].edits]


def test_a_sample_depends_on_its_seed_and_not_on_its_siblings(drain):
    engine = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=64)
    together = drain(engine, [_samples("s", (5, 6, 7))])["s"].edits
    for seed, edit in zip((5, 6, 7), together, strict=True):
        [alone] = drain(engine, [_samples("s", (seed,))])["s"].edits
        assert alone.token_ids == edit.token_ids
        assert alone.logprobs == pytest.approx(edit.logprobs, abs=1e-4)
    assert len({edit.token_ids for edit in together}) == 3


def test_logprobs_are_the_models_before_temperature(drain):
    loaded = load_model("random:tiny-qwen2")
    engine = TransformersGenerationEngine(load_model("random:tiny-qwen2"), max_batch_rows=64)
    sampling = SamplingSpec(temperature=0.7, top_p=1.0, max_new_tokens=10)
    result = drain(engine, [_samples("s", (1, 2), sampling=sampling)])["s"]
    prompt = loaded.tokenizer(PROMPTS[2]).input_ids
    assert result.prompt_tokens == len(prompt)
    for edit in result.edits:
        ids = torch.tensor([[*prompt, *edit.token_ids]])
        with torch.no_grad():
            logprobs = torch.log_softmax(loaded.model(input_ids=ids).logits[0, len(prompt) - 1 : -1], dim=-1)
        expected = logprobs.gather(1, torch.tensor(edit.token_ids)[:, None])[:, 0].tolist()
        assert edit.logprobs == pytest.approx(expected, abs=1e-4)
        assert edit.finish_reason == ("stop" if edit.token_ids[-1] == 256 else "length")


def test_temperature_zero_samples_are_greedy(drain):
    engine = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=64)
    greedy = SamplingSpec(temperature=0.0, top_p=1.0, max_new_tokens=9)
    edits = drain(engine, [_samples("s", (1, 2), sampling=greedy)])["s"].edits
    assert edits[0].token_ids == edits[1].token_ids


def test_prompts_beyond_the_context_are_cut_at_the_left_and_counted(drain):
    loaded = load_model("random:tiny-llama")
    engine = TransformersGenerationEngine(loaded, max_batch_rows=64)
    tail = "y" * (256 - 12)
    whole, cut = drain(engine, [_samples("long", (1,), prompt="x" * 70 + tail), _samples("tail", (1,), prompt=tail)]).values()
    assert {whole.prompt_truncated, cut.prompt_truncated} == {0, 70}
    assert whole.prompt_tokens == cut.prompt_tokens == 256 - 12
    assert whole.edits == cut.edits


def test_more_new_tokens_than_the_context_holds_are_clipped(drain):
    engine = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=64)
    endless = replace(FREE, max_new_tokens=8192)
    result = drain(engine, [_samples("s", (3,), sampling=endless)])["s"]
    assert result.prompt_truncated == 0
    assert len(result.edits[0].token_ids) <= 256 - result.prompt_tokens


def _write_like(folder, source, change):
    adapter = read_adapter(source)
    factors = {name: change(*pair) for name, pair in adapter.factors.items()}
    write_adapter(
        folder, LoraAdapter(rank=adapter.rank, alpha=adapter.alpha, targets=adapter.targets, is_transposed=False, factors=factors)
    )
    return folder


def test_an_adapter_without_effect_or_for_another_model_is_no_measurement(adapt_request, drain, tmp_path):
    good = _adapters("tiny-llama", adapt_request, drain, (1,))[1]
    other = _adapters("tiny-gpt2", adapt_request, drain, (2,))[2]
    zero = _write_like(tmp_path / "zero", good, lambda a, b: (a, torch.zeros_like(b)))
    engine = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=64)
    results = drain(
        engine,
        [_answers("zero", zero), _answers("other", other), _answers("lost", tmp_path / "lost"), _answers("good", good)],
    )
    assert isinstance(results["zero"].error, ReceiptError)
    assert "expected more than 0" in str(results["zero"].error)
    assert isinstance(results["other"].error, ReceiptError)
    assert not results["other"].retryable
    assert isinstance(results["lost"].error, StoreError)
    assert results["lost"].retryable
    assert not isinstance(results["good"], RequestFailed)


def test_a_policy_changes_what_is_generated_and_reverts_bit_exactly(adapt_request, drain):
    folder = _adapters("tiny-llama", adapt_request, drain, (1,))[1]
    engine = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=64)
    policy = Policy(version=1, adapters=(folder,))
    first = drain(engine, [_samples("v0", (1, 2)), _samples("v1", (1, 2), policy=policy), _answers("with", folder)])
    again = drain(engine, [_samples("v1", (1, 2), policy=policy), _samples("v0", (1, 2)), _answers("folded", None, policy=policy)])
    assert first["v0"] == again["v0"]
    assert first["v1"] == again["v1"]
    assert first["v0"].edits != first["v1"].edits
    assert again["folded"].answers == first["with"].answers


def test_an_answer_ends_where_its_request_says_and_else_at_the_first_newline(adapt_request, drain):
    from protocol.jobs import TrainingSequence

    texts = (TrainingSequence(prompt="Q?", completion="yes\nand more", weight=1.0),)
    taught = adapt_request(1, sequences=texts, lora={"targets": ("all-linear",), "rank": 8}, optim={"learning_rate": 1e-2, "epochs": 60})
    drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=1), [taught])
    engine = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=64)
    requests = [_answers(stop, taught.output_dir, ("Q?",), max_new_tokens=30, stop=stop) for stop in ("\n", "m", "")]
    results = drain(engine, [_answers("default", taught.output_dir, ("Q?",), max_new_tokens=30), *requests])
    assert results["default"].answers == results["\n"].answers == ("yes",)
    assert results["m"].answers == ("yes\nand",)
    assert results[""].answers == ("yes\nand more",)
    assert len(results["m"].token_ids[0]) < len(results[""].token_ids[0]), "a stop saves the tokens after it"


@pytest.mark.parametrize(
    "request_",
    [
        _answers("bad", None, ()),
        _answers("bad", None, max_new_tokens=0),
        _answers("bad", None, stop="##"),
        _samples("bad", ()),
        _samples("bad", (1,), sampling=replace(FREE, top_p=0.0)),
        _samples("bad", (1,), sampling=replace(FREE, temperature=float("nan"))),
    ],
)
def test_impossible_requests_fail_alone(request_, drain):
    engine = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=8)
    results = drain(engine, [request_, _answers("good", None)])
    assert isinstance(results["bad"].error, GenerateError)
    assert not results["bad"].retryable
    assert len(results["good"].answers) == len(PROMPTS)


def test_cancelled_requests_never_come_back(drain):
    engine = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=8)
    engine.submit(_answers("one", None))
    engine.submit(_samples("two", (1,)))
    engine.cancel("one")
    engine.cancel("unknown")
    assert set(drain(engine, [])) == {"two"}


def test_a_broken_kernel_fails_what_was_at_work_and_not_the_engine(drain, monkeypatch):
    engine = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=8, max_prefill_tokens=10)
    good = engine._packed.hidden_states

    def broken(batch):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine._packed, "hidden_states", broken)
    results = drain(engine, [_answers("a", None), _samples("b", (1,))])
    assert all(result.retryable and isinstance(result.error, GenerateError) for result in results.values())
    monkeypatch.setattr(engine._packed, "hidden_states", good)
    assert len(drain(engine, [_answers("a", None)])["a"].answers) == len(PROMPTS)
