"""Service times from arithmetic, bandwidth and launches, where nothing was measured.

    training      4 N + 6 P operations a row (bench.work), and 6 W a pair of attended rows (W attention width, all layers)
    generation    2 N operations a token, and the weights are read once a step; a prompt costs 2 N a token, before the first step
    a step reads  the linear layers twice in training (forward, backward), once in generation
    an adapter    moves 40 bytes a weight and optimizer step (AdamW in float32: weight, gradient, moments in and out, the copy)

N weights of the linear layers, P of one adapter. Arithmetic runs at EFFICIENCY of the stated peak; launching is what limits small models.
"""

from dataclasses import dataclass

from seal_runtime.bench.gpus import GpuKind
from seal_runtime.planning.model_facts import ModelFacts
from seal_runtime.planning.step_cost import StepCost

LAUNCH_SECONDS = 6e-6
"""For one kernel. A training step launches about 5,000 on a model of 28 layers, which takes 28 ms at least."""
TRAIN_KERNELS_A_LAYER = 180
DECODE_KERNELS_A_LAYER = 12
"""Of vLLM with CUDA graphs and LoRA."""
OPTIMIZER_BYTES = 40
ADAPTER_LOAD_SECONDS = 0.01
"""For an evaluator to read an adapter and to hand it to its engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """A model on GPUs of one kind. `efficiency` is the share of the stated peak that its arithmetic reaches; a step that is bound by
    memory reaches the stated bandwidth."""

    facts: ModelFacts
    gpu: GpuKind
    efficiency: float

    @property
    def flops(self) -> float:
        """Return the operations a second."""
        return self.gpu.peak_tflops * 1e12 * self.efficiency

    @property
    def bandwidth(self) -> float:
        """Return the bytes a second."""
        return self.gpu.bandwidth_tbs * 1e12

    @property
    def source(self) -> str:
        """Return what the figures come from, in words."""
        peak, share = f"{self.gpu.peak_tflops:,.0f} TFLOP/s", f"{100 * self.efficiency:.0f} %"
        return f"roofline: {self.gpu.name} at {share} of {peak}, {self.gpu.bandwidth_tbs:g} TB/s"

    @property
    def pair_units(self) -> float:
        """Return what a pair of attended rows costs, in rows."""
        return 6.0 * self.facts.attention_width / self._training_flops_a_row()

    def training(self, *, recomputes: bool) -> StepCost:
        """Return an optimizer step's cost; with activation checkpointing (`recomputes`) every forward pass is done twice."""
        third = 4.0 / 3.0 if recomputes else 1.0
        passes = 3 if recomputes else 2
        launching = self.facts.shape.num_layers * TRAIN_KERNELS_A_LAYER * LAUNCH_SECONDS * third
        return StepCost(
            fixed_seconds=0.0,
            floor_seconds=max(launching, passes * self.facts.linear_bytes / self.bandwidth),
            unit_seconds=self._training_flops_a_row() * third / self.flops,
            job_seconds=self.facts.inner_weights * OPTIMIZER_BYTES / self.bandwidth,
            source=self.source,
        )

    def generation(self, num_gpus: int) -> StepCost:
        """Return the cost of a token of every text that is being written, the model split over so many GPUs."""
        launching = self.facts.shape.num_layers * DECODE_KERNELS_A_LAYER * LAUNCH_SECONDS
        return StepCost(
            fixed_seconds=0.0,
            floor_seconds=max(launching, self.facts.linear_bytes / self.bandwidth / num_gpus),
            unit_seconds=2.0 * self.facts.linear_weights / self.flops / num_gpus,
            job_seconds=0.0,
            source=self.source,
        )

    def reading_seconds(self, num_tokens: int, num_gpus: int) -> float:
        """Return what it takes to read a prompt."""
        return 2.0 * self.facts.linear_weights * num_tokens / self.flops / num_gpus

    def _training_flops_a_row(self) -> float:
        return 4.0 * self.facts.linear_weights + 6.0 * self.facts.inner_weights
