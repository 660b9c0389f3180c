"""What is wrong with the numbers of an adapt request, found before anything is encoded or trained."""

import math

from seal_runtime.engines.base import AdaptRequest
from seal_runtime.errors import AdaptError


def check_request(request: AdaptRequest) -> None:
    """Refuse hyper-parameters that make no training. Raises AdaptError."""
    lora, optim = request.lora, request.optim
    if lora.rank < 1 or not math.isfinite(lora.alpha) or lora.alpha == 0:
        raise AdaptError(f"expected a LoRA rank of at least 1 and a finite alpha other than 0, got rank {lora.rank}, alpha {lora.alpha}")
    if not (math.isfinite(optim.learning_rate) and optim.learning_rate >= 0):
        raise AdaptError(f"expected a finite learning rate of at least 0, got {optim.learning_rate}: see trainer.optim.learning_rate")
    if optim.batch_size < 1 or optim.num_steps < 0 or (optim.epochs < 1 and not optim.num_steps):
        raise AdaptError(
            f"expected batch_size >= 1 and epochs >= 1 (or num_steps), got batch_size {optim.batch_size}, epochs {optim.epochs}, "
            f"num_steps {optim.num_steps}"
        )
    if not all(math.isfinite(sequence.weight) for sequence in request.sequences):
        raise AdaptError("expected finite sequence weights, got one that is not")
