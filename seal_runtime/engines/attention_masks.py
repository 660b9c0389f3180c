"""Who sees whom within one packed sequence where that is not plain causal: sliding windows, and padding that carries loss."""

# L rows of one sequence, the last of which may be padding
import torch


def hidden_pairs(length: int, num_pads: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """Return which keys [L, L] each row must not see, or None for plain causal attention. Padding sees all of the text and no padding."""
    if num_pads == 0 and (window is None or length <= window):
        return None
    distance_LL = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    hidden_LL = distance_LL < 0
    if window is not None:
        hidden_LL |= distance_LL >= window
    if num_pads:
        hidden_LL[length - num_pads :, : length - num_pads] = False
        hidden_LL[:, length - num_pads :] = True
    return hidden_LL
