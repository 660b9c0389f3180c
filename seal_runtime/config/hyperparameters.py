"""The topology's sections on sampling, adapters and optimisers; each gives its wire form."""

from typing import Literal

from pydantic import Field

from protocol.jobs import LoraSpec, OptimSpec, SamplingSpec
from seal_runtime.config.section import Section


class SamplingConfig(Section):
    """How self-edits are drawn."""

    temperature: float = Field(default=1.0, ge=0.0, le=10.0)
    """0 is greedy decoding."""
    top_p: float = Field(default=0.95, gt=0.0, le=1.0)
    """Nucleus mass."""
    max_new_tokens: int = Field(default=128, ge=1, le=131_072)
    """Longest self-edit in tokens."""

    def spec(self) -> SamplingSpec:
        """Return the wire form."""
        return SamplingSpec(temperature=self.temperature, top_p=self.top_p, max_new_tokens=self.max_new_tokens)


class LoraConfig(Section):
    """Shape of an adapter."""

    rank: int = Field(default=32, ge=1, le=512)
    """LoRA rank r."""
    alpha: float = Field(default=64.0, gt=0.0)
    """LoRA alpha; the adapter is scaled by alpha / rank."""
    targets: tuple[str, ...] = Field(default=(), strict=False)
    """Module suffixes that get LoRA, such as q_proj; empty is PEFT's default for the model family."""

    def spec(self) -> LoraSpec:
        """Return the wire form."""
        return LoraSpec(rank=self.rank, alpha=self.alpha, targets=self.targets)


class OptimConfig(Section):
    """AdamW (0.9, 0.999, 1e-8) and its schedule."""

    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    """Peak learning rate."""
    epochs: int = Field(default=10, ge=1, le=10_000)
    """Passes over the sequences."""
    batch_size: int = Field(default=1, ge=1, le=65_536)
    """Sequences an optimizer step."""
    schedule: Literal["linear", "constant", "cosine"] = "linear"
    """Decay of the learning rate to zero, or none."""
    warmup_steps: int = Field(default=0, ge=0)
    """Linear warm-up, in optimizer steps."""
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    """Decoupled weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    """Gradient-norm clip of each adapter."""
    max_length: int = Field(default=2048, ge=8)
    """Longest training sequence in tokens. What is longer is cut, counted and told: a prompt loses its beginning, other text its end."""

    def spec(self, *, num_steps: int = 0, pad_loss: str = "eos") -> OptimSpec:
        """Return the wire form; `num_steps` other than 0 fixes the optimizer steps. A policy update always learns to end (`eos`)."""
        return OptimSpec(**self.model_dump(), num_steps=num_steps, pad_loss=pad_loss)
