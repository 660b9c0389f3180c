"""Choose the next token of many rows: greedy, or by temperature and nucleus (top-p) sampling.

Every operation is row by row, and each row brings its own uniform number, so a row's choice does not depend on the others.
"""

# N rows, V vocabulary, C most probable candidates
import torch

_CANDIDATES = 64


def choose_tokens(
    logits_NV: torch.Tensor, temperature_N: torch.Tensor, top_p_N: torch.Tensor, uniform_N: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the chosen tokens [N] and their log-probabilities [N] before temperature. Temperature 0 takes the most probable token."""
    logprobs_NV = torch.log_softmax(logits_NV.float(), dim=-1)
    tokens_N = logprobs_NV.argmax(dim=-1)
    drawn_N = (temperature_N > 0).nonzero()[:, 0]
    if len(drawn_N):
        tokens_N[drawn_N] = _draw(logprobs_NV[drawn_N] / temperature_N[drawn_N, None], top_p_N[drawn_N], uniform_N[drawn_N])
    return tokens_N, logprobs_NV.gather(1, tokens_N[:, None])[:, 0]


def _draw(scores_NV: torch.Tensor, top_p_N: torch.Tensor, uniform_N: torch.Tensor) -> torch.Tensor:
    probs_NV = torch.softmax(scores_NV, dim=-1)
    top_NC, index_NC = probs_NV.topk(min(_CANDIDATES, probs_NV.shape[1]), dim=-1)
    tokens_N, enough_N = _draw_sorted(top_NC, index_NC, top_p_N, uniform_N)
    rest_N = (~enough_N).nonzero()[:, 0]
    if len(rest_N) and probs_NV.shape[1] > _CANDIDATES:
        sorted_NV, order_NV = probs_NV[rest_N].sort(dim=-1, descending=True, stable=True)
        tokens_N[rest_N] = _draw_sorted(sorted_NV, order_NV, top_p_N[rest_N], uniform_N[rest_N])[0]
    return tokens_N


def _draw_sorted(
    probs_NC: torch.Tensor, index_NC: torch.Tensor, top_p_N: torch.Tensor, uniform_N: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw from the smallest set of most probable tokens that holds top_p; also say whether the candidates held that much."""
    cumulative_NC = probs_NC.double().cumsum(dim=-1)
    reached_NC = cumulative_NC >= top_p_N[:, None]
    last_N = (~reached_NC).sum(dim=-1).clamp_max(probs_NC.shape[1] - 1)
    mass_N = cumulative_NC.gather(1, last_N[:, None])[:, 0]
    chosen_N = (cumulative_NC <= (uniform_N * mass_N)[:, None]).sum(dim=-1).minimum(last_N)
    return index_NC.gather(1, chosen_N[:, None])[:, 0], reached_NC[:, -1]
