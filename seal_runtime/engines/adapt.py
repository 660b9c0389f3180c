"""The batched inner loop: many LoRA adapters trained at once on one frozen base, each exactly as it would be alone.

Every active adapter takes one optimizer step in each packed pass (or in several, when the tokens exceed the cap). Slots are refilled as
adapters finish, longest job first. All active adapters share one policy; jobs of another wait until these are done, the oldest version
first, and of one version each chain of adapters in its turn (`policy_turns`). What is wrong with a job ends that job alone.

While adapters train, threads draw the initial factors of those that wait (`initial_factors`) and write those that have ended
(`adapter_export`); no thread touches the model or an adapter in training.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from protocol.errors import SealError
from seal_runtime.engines.adapter_export import AdapterExport
from seal_runtime.engines.base import AdaptOutput, AdaptRequest, RequestFailed
from seal_runtime.engines.capacity import adapter_bytes, loss_chunk
from seal_runtime.engines.initial_factors import InitialDraws
from seal_runtime.engines.lora_group import Group
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.packed_model import PackedModel, ProductMode
from seal_runtime.engines.policy_turns import Waiting, next_policy
from seal_runtime.engines.request_checks import check_request
from seal_runtime.engines.schedules import count_steps
from seal_runtime.engines.token_loss import LossTargets, token_loss
from seal_runtime.engines.training_sequences import EncodedSequences, encode_sequences
from seal_runtime.engines.training_slot import TrainingSlot
from seal_runtime.errors import AdaptError, StoreError

_STEP_SECONDS = 0.25
_PATIENCE_SECONDS = 0.02
"""Wait for the disk when there is nothing to train, or too much to write."""


class BatchedAdaptEngine:
    """Trains up to `num_slots` adapters at once.

    `max_tokens_per_step` bounds the tokens (and so the memory) of one packed pass, `loss_chunk_tokens` the positions whose logits exist at
    once (0: see `capacity`), `max_adapter_bytes` what all adapters at work take (None: anything). `activation_checkpointing` recomputes
    each transformer block in the backward pass.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        num_slots: int,
        max_tokens_per_step: int = 8192,
        loss_chunk_tokens: int = 0,
        activation_checkpointing: bool = False,
        max_adapter_bytes: int | None = None,
        mode: ProductMode | None = None,
    ) -> None:
        mode = mode or ("packed" if loaded.device.type == "cuda" else "exact")
        self._packed = PackedModel(loaded, mode, activation_checkpointing)
        self._num_slots = num_slots
        self._max_tokens = max_tokens_per_step
        self._loss_chunk = loss_chunk(loss_chunk_tokens, len(self._packed.head_VD))
        self._max_adapter_bytes = max_adapter_bytes
        self._waiting: list[tuple[AdaptRequest, EncodedSequences]] = []
        self._since: dict[str, float] = {}
        self._turn_seconds = 0.0
        self._active: list[TrainingSlot] = []
        self._finished: list[AdaptOutput | RequestFailed] = []
        self._draws = InitialDraws(max_ahead=num_slots)
        self._exports = AdapterExport()

    @property
    def num_slots(self) -> int:
        """Return how many adapters are trained at once."""
        return self._num_slots

    def limit_slots(self, num_slots: int) -> None:
        """Train at most so many adapters at once from now on; a benchmark compares several on one model."""
        self._num_slots = num_slots

    @property
    def num_pending(self) -> int:
        """Return how many submitted requests have not been returned by `step` yet."""
        return len(self._waiting) + len(self._active) + len(self._exports) + len(self._finished)

    def submit(self, request: AdaptRequest) -> None:
        """Queue a request; what is wrong with it comes back from `step`."""
        try:
            self._waiting.append((request, self._encode(request)))
            self._since[request.request_id] = time.monotonic()
        except SealError as error:
            self._fail(request, error, retryable=False)

    def step(self) -> Sequence[AdaptOutput | RequestFailed]:
        """Take optimizer steps for about a quarter of a second, or until a slot is free or an adapter on disk; return what ended."""
        deadline = time.monotonic() + _STEP_SECONDS
        self._admit()
        self._draw_ahead()
        num_active = len(self._active)
        while self._can_train and len(self._active) == num_active and time.monotonic() < deadline:
            if self._finished or self._exports.has_ended:
                break
            try:
                self._optimizer_step()
            except RuntimeError as error:  # out of memory, a kernel that fails: the step is lost, the engine is not
                self._fail_active(error)
        can_go_on = self._finished or self._waiting or self._active
        finished = self._exports.ended(0.0 if can_go_on and not self._exports.is_full else _PATIENCE_SECONDS)
        finished, self._finished = [*self._finished, *finished], []
        return finished

    def cancel(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        self._waiting = [entry for entry in self._waiting if entry[0].request_id != request_id]
        self._active = [slot for slot in self._active if slot.request.request_id != request_id]
        self._since.pop(request_id, None)
        self._draws.forget(request_id)
        self._exports.cancel(request_id)
        self._finished = [result for result in self._finished if result.request_id != request_id]

    def close(self) -> None:
        """Forget all requests and end the threads. The model's memory goes with the engine."""
        self._waiting, self._active, self._finished = [], [], []
        self._draws.close()
        self._exports.close()

    @property
    def _can_train(self) -> bool:
        return bool(self._active) and not self._exports.is_full

    def _encode(self, request: AdaptRequest) -> EncodedSequences:
        check_request(request)
        self._packed.select(request.lora.targets)
        encoded = encode_sequences(self._packed.loaded, request.sequences, request.optim.max_length, request.optim.pad_loss)
        if not encoded.sequences:
            raise AdaptError(
                f"expected at least one training sequence with something to learn within {request.optim.max_length} tokens, got "
                f"{len(request.sequences)} sequences without: is the edit empty, or the prompt longer than trainer.optim.max_length?"
            )
        self._check_window(request, encoded)
        self._check_memory(request, encoded)
        return encoded

    def _check_memory(self, request: AdaptRequest, encoded: EncodedSequences) -> None:
        """Refuse what no split makes fit: one sequence above the cap, or an adapter above the memory for adapters. Raises AdaptError."""
        longest = max(sequence.num_rows for sequence in encoded.sequences)
        if longest > self._max_tokens:
            raise AdaptError(
                f"a sequence of {longest} tokens does not fit the {self._max_tokens} tokens of one step: raise trainer.max_tokens_per_step "
                "or lower trainer.optim.max_length; where a GPU's memory set the limit, trainer.activation_checkpointing raises it"
            )
        size = self._bytes_of(request)
        if self._max_adapter_bytes is not None and size > self._max_adapter_bytes:
            raise AdaptError(
                f"an adapter of rank {request.lora.rank} on {', '.join(self._packed.resolve_targets(request.lora.targets))} takes {size:,} "
                f"bytes in training, and {self._max_adapter_bytes:,} are left beside the model and a step of {self._max_tokens} tokens: "
                "lower its rank, its targets or trainer.max_tokens_per_step, or set trainer.activation_checkpointing to true"
            )

    def _bytes_of(self, request: AdaptRequest) -> int:
        layers = self._packed.select(request.lora.targets)
        num_weights = request.lora.rank * sum(layer.in_features + layer.out_features for layer in layers)
        return adapter_bytes(num_weights, self._packed.dtype.itemsize if self._packed.mode == "packed" else 0)

    def _check_window(self, request: AdaptRequest, encoded: EncodedSequences) -> None:
        """Refuse padding that a sliding window would cut off from its text. Raises AdaptError."""
        window = getattr(self._packed.loaded.model.config, "sliding_window", None)
        if window is not None and any(sequence.num_pads and sequence.pad_positions.stop > window for sequence in encoded.sequences):
            raise AdaptError(
                f"padding up to {request.optim.max_length} tokens lies beyond the model's attention window of {window}: "
                f"set trainer.pad_loss to none or eos, or trainer.optim.max_length to at most {window}"
            )

    def _admit(self) -> None:
        """Give free slots to waiting jobs of the active policy, the one with the most work first."""
        chain = self._next_turn()
        if chain is None:
            return
        ready = [entry for entry in self._waiting if entry[0].policy.adapters == chain]
        ready.sort(key=lambda entry: -_work(*entry))
        room = math.inf if self._max_adapter_bytes is None else self._max_adapter_bytes
        room -= sum(self._bytes_of(slot.request) for slot in self._active)
        for request, encoded in ready[: self._num_slots - len(self._active)]:
            room -= self._bytes_of(request)
            if room < 0:
                return  # it waits for adapters at work to end; alone it fits
            self._waiting = [entry for entry in self._waiting if entry[0] is not request]
            layers = self._packed.select(request.lora.targets)
            targets = self._packed.resolve_targets(request.lora.targets)
            self._since[request.request_id] = time.monotonic()
            initial_P = self._draws.take(request, layers)
            self._active.append(TrainingSlot(request, encoded, layers, targets, initial_P.to(self._packed.device)))

    def _draw_ahead(self) -> None:
        """Have the factors of waiting jobs drawn while others train, in the order in which jobs of one policy are admitted."""
        if self._waiting and not self._draws.is_full:
            for request, _ in sorted(self._waiting, key=lambda entry: -_work(*entry)):
                self._draws.begin(request, self._packed.select(request.lora.targets))

    def _next_turn(self) -> tuple[Path, ...] | None:
        """Return the policy whose jobs may begin now, folded in; None while others must end first.

        A change of policy costs the slots that stay empty until the last job at work has ended, so patience goes by the time of a job.
        """
        while self._waiting:
            oldest = min(request.policy.version for request, _ in self._waiting)
            requests = [request for request, _ in self._waiting if request.policy.version == oldest]
            waiting = [Waiting(policy=request.policy.adapters, since=self._since[request.request_id]) for request in requests]
            served, now = self._packed.folding.chain, time.monotonic()
            chain = next_policy(served, waiting, busy=bool(self._active), fold_seconds=self._turn_seconds, now=now)
            if chain is None or chain == served or self._fold(chain):
                return chain
        return None

    def _fold(self, chain: tuple[Path, ...]) -> bool:
        """Fold a policy in while nothing is at work; when that fails, all jobs that wait for it fail."""
        try:
            self._packed.fold(chain)
        except SealError as error:
            for request, _ in self._waiting:
                if request.policy.adapters == chain:
                    self._fail(request, error, retryable=isinstance(error, StoreError))
            self._waiting = [entry for entry in self._waiting if entry[0].policy.adapters != chain]
            return False
        return True

    def _optimizer_step(self) -> None:
        """Take one step of every active adapter."""
        micro_batches = [slot.next_micro_batches(self._max_tokens) for slot in self._active]
        losses = [torch.zeros((), device=self._packed.device) for _ in self._active]
        for members in plan_passes([[len(group.ids_T) for group, _ in parts] for parts in micro_batches], self._max_tokens):
            members.sort(key=lambda member: list(micro_batches[member[0]][member[1]][0].lengths))  # so that attention need not sort rows
            parts = [micro_batches[index][part] for index, part in members]
            for (index, _), loss in zip(members, self._backward(parts), strict=True):
                losses[index] = losses[index] + loss
        norms = [slot.gradient_norm() for slot in self._active]
        values = torch.stack([*losses, *norms]).tolist()
        for slot, loss, norm in zip(list(self._active), values, values[len(losses) :], strict=False):
            self._advance(slot, loss, norm)

    def _backward(self, parts: Sequence[tuple[Group, LossTargets]]) -> torch.Tensor:
        batch = self._packed.batch([group for group, _ in parts], train=True)
        with torch.enable_grad():
            hidden_TD = self._packed.hidden_states(batch)
        losses_K, gradient_TD = token_loss(hidden_TD, self._packed.head_VD, batch, [targets for _, targets in parts], self._loss_chunk)
        hidden_TD.backward(gradient_TD)
        if batch.stacked is not None:
            batch.stacked.collect_gradients()
        return losses_K

    def _advance(self, slot: TrainingSlot, loss: float, norm: float) -> None:
        try:
            slot.apply_gradients(loss, norm)
            if not slot.is_done:
                return
            self._exports.begin(slot.output(), slot.adapter())
            self._turn_seconds = time.monotonic() - self._since.pop(slot.request.request_id)
        except AdaptError as error:
            self._fail(slot.request, error, retryable=False)
        self._active.remove(slot)

    def _fail_active(self, error: RuntimeError) -> None:
        tokens = f"{len(self._active)} adapters and at most {self._max_tokens} tokens"
        reason = f"a packed step of {tokens} broke: {str(error)[:300]}; if memory ran out, lower trainer.max_tokens_per_step"
        for slot in self._active:
            self._fail(slot.request, AdaptError(reason), retryable=True)
        self._active = []

    def _fail(self, request: AdaptRequest, error: SealError, retryable: bool) -> None:
        self._since.pop(request.request_id, None)
        self._draws.forget(request.request_id)
        self._finished.append(RequestFailed(request_id=request.request_id, error=error, retryable=retryable))


def plan_passes(sizes: Sequence[Sequence[int]], max_tokens: int) -> list[list[tuple[int, int]]]:
    """Distribute the parts of each slot's step over packed passes of at most `max_tokens`; two parts of a slot never share one.

    `sizes[slot][part]` are in tokens. Returns the (slot, part) pairs of each pass; parts of a slot keep their order.
    """
    passes: list[list[tuple[int, int]]] = []
    room: list[int] = []
    for slot, parts in enumerate(sizes):
        first = 0
        for part, size in enumerate(parts):
            while first < len(passes) and room[first] < size:
                first += 1
            if first == len(passes):
                passes.append([])
                room.append(max_tokens)
            passes[first].append((slot, part))
            room[first] -= size
            first += 1
    return passes


def _work(request: AdaptRequest, encoded: EncodedSequences) -> int:
    return sum(sequence.num_rows for sequence in encoded.sequences) * count_steps(request.optim, len(encoded.sequences))
