"""What the CUDA paths assume is tried before it is used. Here without a GPU: the probes themselves, and the ways they fall back to."""

import pytest
import torch
import torch.nn.attention.varlen

from seal_runtime.engines import cuda_attention
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import AdaptOutput
from seal_runtime.engines.cuda_attention import attend_sequences_cuda
from seal_runtime.engines.grouped_probe import grouped_products_work
from seal_runtime.engines.lora_group import Group, LoraFactors
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.packed_attention import packed_attention
from seal_runtime.engines.packed_batch import PackedBatch
from seal_runtime.engines.packed_model import PackedModel
from seal_runtime.engines.stacked_factors import StackedFactors

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _probe_again():
    cuda_attention._variable_length_works.cache_clear()


def _batch(lengths):
    groups = [Group(ids_T=torch.zeros(n, dtype=torch.long), positions_T=torch.arange(n), lengths=[n]) for n in lengths]
    return PackedBatch(groups, "sequences", CPU)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_probe_accepts_grouped_products_that_equal_a_loop(dtype):
    assert grouped_products_work(CPU, dtype, {64, 192})


def test_widths_that_are_not_whole_16_bytes_go_by_the_loop():
    assert not grouped_products_work(CPU, torch.bfloat16, {64, 36})
    assert grouped_products_work(CPU, torch.float32, {64, 36})


def _refusing(*args, **kwargs):
    raise RuntimeError("Expected mat_a to be BFloat16 matrix got Float")


def _wrong(mat_a, mat_b, offs=None):
    return torch.zeros(len(mat_a), mat_b.shape[-1]) + (mat_a.sum() + mat_b.sum()) * 0


@pytest.mark.parametrize("broken", [_refusing, _wrong, None])
def test_grouped_products_that_refuse_or_differ_or_are_missing_are_not_used(broken, monkeypatch, adapt_request, drain):
    if broken is None:
        monkeypatch.delattr(torch.nn.functional, "grouped_mm")
    else:
        monkeypatch.setattr(torch.nn.functional, "grouped_mm", broken)
    engine = BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=2, mode="packed")
    assert engine._packed.mode == "grouped"
    assert isinstance(drain(engine, [adapt_request(1)])["job-1"], AdaptOutput)


def test_the_packed_path_is_kept_where_they_work():
    assert PackedModel(load_model("random:tiny-llama"), "packed").mode == "packed"


def test_a_scale_is_not_rounded_to_the_precision_of_the_base():
    """0.3 is 0.3008 in bfloat16: every step would have the same error of 0.26 %."""
    generator = torch.Generator().manual_seed(0)
    a_RI, b_RO = (torch.randn(16, width, generator=generator).bfloat16().float() for width in (64, 96))
    factors = {0: LoraFactors(weight_a_RI=a_RI, weight_b_RO=b_RO, scale=0.3)}
    group = Group(ids_T=torch.zeros(512, dtype=torch.long), positions_T=torch.arange(512), lengths=[512], factors=factors)
    stacked = StackedFactors([group], torch.bfloat16, CPU)
    stacked.place([512], 512)
    x_TI = torch.randn(512, 64, generator=generator).bfloat16()
    delta_TO, expected_TO = stacked.delta(0, x_TI).float(), 0.3 * (x_TI.float() @ a_RI.t()) @ b_RO
    assert (delta_TO * expected_TO).sum() / expected_TO.square().sum() == pytest.approx(1.0, abs=5e-4)


@pytest.mark.parametrize("window", [None, 6])
def test_without_a_variable_length_kernel_attention_goes_one_by_one(window):
    batch = _batch([9, 30, 4])
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, heads, batch.num_rows, 16, generator=generator).bfloat16() for heads in (4, 2, 2))
    out = attend_sequences_cuda(batch, query, key, value, 0.25, window)
    assert not cuda_attention._variable_length_works(CPU, torch.bfloat16, 4, 2, 16, 0.25, None)

    class Module:
        seal_context = type("Context", (), {"current": batch})
        layer_idx = 0

    expected, _ = packed_attention(Module, query, key, value, None, scaling=0.25, sliding_window=window)
    assert torch.allclose(out[:, : batch.num_tokens].float(), expected[:, : batch.num_tokens].float(), atol=0.02)


def _pretend(monkeypatch, lengths):
    """Have attention one by one, over sequences of these lengths, stand for the kernel."""

    def kernel(_, query, key, value, scale, window):
        return cuda_attention._one_by_one(lengths, [0] * len(lengths), query, key, value, scale, window)

    cuda_attention._variable_length_works.cache_clear()
    monkeypatch.setattr(cuda_attention, "_variable_length", kernel)


def test_a_kernel_that_differs_is_not_used(monkeypatch):
    _pretend(monkeypatch, [5, 27])
    assert cuda_attention._variable_length_works(CPU, torch.bfloat16, 4, 2, 16, 0.25, 7)
    _pretend(monkeypatch, [32])
    assert not cuda_attention._variable_length_works(CPU, torch.bfloat16, 4, 2, 16, 0.25, 7)
    cuda_attention._variable_length_works.cache_clear()


def _attend(query_THD, key_TJD, value_TJD, ends_S, scale, window):
    """Compute what the kernel would: one by one."""
    heads = [tensor.transpose(0, 1)[None] for tensor in (query_THD, key_TJD, value_TJD)]
    lengths = torch.diff(ends_S).tolist()
    return cuda_attention._one_by_one(lengths, [0] * len(lengths), *heads, scale, window)[0]


def _varlen_of_2_10(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None):
    assert is_causal
    return _attend(query, key, value, cu_seq_q, query.shape[2] ** -0.5, None)


def _varlen_of_2_11(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1)):
    left, right = window_size
    assert right == 0
    return _attend(query, key, value, cu_seq_q, scale, None if left == -1 else left + 1)


def _varlen_of_2_12(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1), enable_gqa=False
):
    assert enable_gqa == (query.shape[1] != key.shape[1])
    return _varlen_of_2_11(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size)


@pytest.mark.parametrize(
    ("kernel", "scale", "window", "works"),
    [
        (_varlen_of_2_10, 0.25, None, True),
        (_varlen_of_2_10, 0.25, 7, False),
        (_varlen_of_2_10, 0.3, None, False),
        (_varlen_of_2_11, 0.25, None, True),
        (_varlen_of_2_11, 0.3, 7, True),
        (_varlen_of_2_12, 0.25, None, True),
        (_varlen_of_2_12, 0.3, 7, True),
    ],
)
@pytest.mark.parametrize("num_kv_heads", [4, 2])
def test_the_kernel_is_asked_as_each_version_of_torch_wants_it(kernel, scale, window, works, num_kv_heads, monkeypatch):
    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", kernel)
    assert cuda_attention._variable_length_works(CPU, torch.bfloat16, 4, num_kv_heads, 16, scale, window) == works
