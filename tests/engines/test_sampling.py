"""Nucleus sampling draws from the right set with the right frequencies."""

import torch

from seal_runtime.engines.sampling import choose_tokens


def _choose(probs, uniform, temperature=1.0, top_p=1.0):
    count = len(uniform)
    logits = torch.tensor(probs).log().expand(count, -1)
    return choose_tokens(
        logits,
        torch.full((count,), temperature),
        torch.full((count,), top_p, dtype=torch.float64),
        torch.tensor(uniform, dtype=torch.float64),
    )


def test_uniform_numbers_pick_tokens_by_their_cumulative_probability():
    tokens, logprobs = _choose([0.2, 0.5, 0.3], [0.0, 0.49, 0.51, 0.79, 0.81, 0.999])
    assert tokens.tolist() == [1, 1, 2, 2, 0, 0]
    assert torch.allclose(logprobs.exp(), torch.tensor([0.5, 0.5, 0.3, 0.3, 0.2, 0.2]))


def test_top_p_keeps_the_smallest_set_that_holds_it_and_renormalises():
    tokens, logprobs = _choose([0.2, 0.5, 0.3], [0.0, 0.62, 0.63, 0.9999], top_p=0.7)
    assert tokens.tolist() == [1, 1, 2, 2]
    assert torch.allclose(logprobs.exp(), torch.tensor([0.5, 0.5, 0.3, 0.3]))
    assert _choose([0.2, 0.5, 0.3], [0.9999], top_p=0.01)[0].tolist() == [1]


def test_temperature_sharpens_and_zero_is_greedy():
    tokens, _ = _choose([0.2, 0.5, 0.3], [0.6, 0.7], temperature=0.5)
    assert tokens.tolist() == [1, 2]
    assert _choose([0.2, 0.5, 0.3], [0.99], temperature=0.0)[0].tolist() == [1]


def test_flat_distributions_reach_beyond_the_first_candidates():
    uniform = torch.rand(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()
    tokens, _ = _choose([1 / 500] * 500, uniform, top_p=0.95)
    counts = torch.bincount(tokens, minlength=500)
    assert (counts > 0).sum() > 460
    assert counts.max() < 30


def test_a_row_does_not_depend_on_its_neighbours():
    logits = torch.randn(6, 300, generator=torch.Generator().manual_seed(1))
    logits[1] *= 0.01
    arguments = [torch.tensor([1.0, 1.0, 0.0, 2.0, 0.7, 1.0]), torch.tensor([0.9, 0.99, 1, 0.5, 1, 1]).double(), torch.rand(6).double()]
    tokens, logprobs = choose_tokens(logits, *arguments)
    for row in range(6):
        one, logprob = choose_tokens(logits[row : row + 1], *(argument[row : row + 1] for argument in arguments))
        assert one[0] == tokens[row]
        assert torch.equal(logprob[0], logprobs[row])
