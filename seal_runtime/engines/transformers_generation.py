"""Generation on transformers: many requests in one continuous batch, each with its own adapter, sampled or greedy.

The rows of a request form one group, so that its output is bit-identical on CPU whatever else is in the batch. What the prompts of a
request begin with is read once. Rows that have ended leave their group at once. All active requests share one policy; those of another
wait until these are done, the oldest version first, and of one version each chain of adapters in its turn (`policy_turns`).
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch

from protocol.errors import SealError
from seal_runtime.engines.adapter_receipts import AdapterReads, load_factors
from seal_runtime.engines.answer_ends import check_stop
from seal_runtime.engines.base import AnswerOutput, AnswerRequest, Policy, RequestFailed, SampleOutput, SampleRequest
from seal_runtime.engines.generation_job import GenerationJob, TokenTexts, prompt_group
from seal_runtime.engines.grouped_linear import split_rows
from seal_runtime.engines.key_value_cache import KeyValueCache
from seal_runtime.engines.lora_group import Group
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.packed_batch import Phase
from seal_runtime.engines.packed_model import PackedModel, ProductMode
from seal_runtime.engines.policy_turns import Waiting, next_policy
from seal_runtime.engines.prompt_layout import PromptLayout, PromptReader, Prompts
from seal_runtime.engines.sampling import choose_tokens
from seal_runtime.errors import GenerateError, ReceiptError, StoreError

# T rows of a pass, N rows that choose a token, V vocabulary, D width
_STEP_SECONDS = 0.25
_PATIENCE_SECONDS = 0.01
"""Wait for an adapter that is being read, as a small one is read at once; while others are at work a large one is not waited for longer."""
_MAX_CACHED_PROBE_BYTES = 1 << 28
_SEED_LIMIT = 1 << 63


class TransformersGenerationEngine:
    """Generates for as many requests at once as have together `max_batch_rows` rows; one larger request runs alone.

    `max_prefill_tokens` bounds the prompt tokens that one pass computes, in the same way.
    """

    def __init__(
        self, loaded: LoadedModel, *, max_batch_rows: int, max_prefill_tokens: int = 8192, mode: ProductMode | None = None
    ) -> None:
        self._loaded = loaded
        self._packed = PackedModel(loaded, mode)
        self._max_rows = max_batch_rows
        self._max_prefill_tokens = max_prefill_tokens
        self._texts = TokenTexts(loaded)
        self._waiting: list[tuple[float, SampleRequest | AnswerRequest]] = []
        self._fold_seconds = 0.0
        self._active: list[GenerationJob] = []
        self._finished: list[SampleOutput | AnswerOutput | RequestFailed] = []
        self._reader = PromptReader(loaded)
        self._reads = AdapterReads()
        self._base_probes: OrderedDict[Prompts, torch.Tensor] = OrderedDict()

    @property
    def num_pending(self) -> int:
        """Return how many submitted requests have not been returned by `step` yet."""
        return len(self._waiting) + len(self._active) + len(self._finished)

    def submit(self, request: SampleRequest | AnswerRequest) -> None:
        """Queue a request; what is wrong with it comes back from `step`."""
        try:
            _check(request)
        except GenerateError as error:
            self._fail(request, error)
        else:
            self._waiting.append((time.monotonic(), request))
            self._reads.begin(request.request_id, _adapter(request))

    def step(self) -> Sequence[SampleOutput | AnswerOutput | RequestFailed]:
        """Admit what fits and generate for about a quarter of a second, or until a request is finished."""
        deadline = time.monotonic() + _STEP_SECONDS
        with torch.no_grad():
            try:
                self._admit()
                for _, request in self._waiting:
                    self._reads.begin(request.request_id, _adapter(request))
                while self._active and not self._finished and time.monotonic() < deadline:
                    self._decode_step()
            except RuntimeError as error:  # out of memory, a kernel that fails: the requests at work are lost, the engine is not
                self._fail_active(error)
        finished, self._finished = self._finished, []
        return finished

    def cancel(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        self._waiting = [entry for entry in self._waiting if entry[1].request_id != request_id]
        self._reads.forget(request_id)
        self._active = [job for job in self._active if job.request.request_id != request_id]
        self._finished = [result for result in self._finished if result.request_id != request_id]

    def close(self) -> None:
        """Forget all requests and end the thread. The model's memory goes with the engine."""
        self._waiting, self._active, self._finished = [], [], []
        self._reads.close()
        self._base_probes.clear()

    def _admit(self) -> None:
        """Read the prompts of waiting requests of the active policy, as many as have room, in the order of submission."""
        turn = self._next_turn()
        num_rows = sum(job.num_rows for job in self._active)
        num_tokens = 0
        admitted: list[GenerationJob] = []
        for entry in [entry for entry in self._waiting if entry[1].policy == turn]:
            request = entry[1]
            rows = len(request.seeds) if isinstance(request, SampleRequest) else len(request.prompts)
            if num_rows and num_rows + rows > self._max_rows:
                break
            if num_rows and self._reads.is_under_way(request.request_id, _PATIENCE_SECONDS):
                break  # those at work go on meanwhile
            self._waiting.remove(entry)
            job = self._open(request)
            if job is None:
                continue
            self._active.append(job)
            new_tokens = job.layout.num_rows * (2 if job.adapter_sha256 and job.layout.prompts not in self._base_probes else 1)
            if admitted and num_tokens + new_tokens > self._max_prefill_tokens:
                self._prefill(admitted)
                admitted, num_tokens = [], 0
            admitted.append(job)
            num_rows += rows
            num_tokens += new_tokens
        if admitted:
            self._prefill(admitted)

    def _next_turn(self) -> Policy | None:
        """Return the policy whose requests may begin now, folded in; None while others must end first."""
        while self._waiting:
            oldest = min(request.policy.version for _, request in self._waiting)
            entries = [entry for entry in self._waiting if entry[1].policy.version == oldest]
            waiting = [Waiting(policy=request.policy.adapters, since=since) for since, request in entries]
            served, now = self._packed.folding.chain, time.monotonic()
            chain = next_policy(served, waiting, busy=bool(self._active), fold_seconds=self._fold_seconds, now=now)
            if chain is None:
                return None
            if chain == served or self._fold(chain):
                return Policy(version=oldest, adapters=chain)
        return None

    def _fold(self, chain: tuple[Path, ...]) -> bool:
        """Fold a policy in while nothing is at work; when that fails, all requests that wait for it fail."""
        began = time.monotonic()
        self._base_probes.clear()
        try:
            self._packed.fold(chain)
        except SealError as error:
            for entry in [entry for entry in self._waiting if entry[1].policy.adapters == chain]:
                self._waiting.remove(entry)
                self._fail(entry[1], error)
            return False
        self._fold_seconds = time.monotonic() - began
        return True

    def _open(self, request: SampleRequest | AnswerRequest) -> GenerationJob | None:
        folder = _adapter(request)
        try:
            read = None if folder is None else self._reads.take(request.request_id, folder)
            factors, sha256 = load_factors(self._packed, folder, read)
        except (StoreError, ReceiptError) as error:
            self._fail(request, error)
            return None
        return GenerationJob(request, self._loaded, self._reader, factors, sha256, self._packed.folding.sha256s)

    def _prefill(self, jobs: list[GenerationJob]) -> None:
        """Read all prompts in one pass, with it what the probes of the adapters are compared to, and choose the first tokens."""
        unread = self._without_plain_probe(jobs)
        groups = [*(job.prompt_group() for job in jobs), *(prompt_group(KeyValueCache(layout), {}) for layout in unread)]
        logits = self._next_logits(groups, "prompts")
        plain = [None if job.adapter_sha256 or isinstance(job.request, SampleRequest) else job.layout for job in jobs]
        for layout, logits_NV in zip([*plain, *unread], logits, strict=True):
            if layout is not None:
                self._base_probes[layout.prompts] = torch.log_softmax(logits_NV[:1].float(), dim=-1)
        going = []
        for job, logits_NV in zip(jobs, logits, strict=False):
            if job.adapter_sha256:
                self._probe(job, logits_NV[:1])
            if job.adapter_sha256 and not job.probe_delta > 0:
                self._active.remove(job)
                self._fail(job.request, _no_effect(job))
            else:
                going.append((job, job.expand(logits_NV)))
        while len(self._base_probes) > max(1, _MAX_CACHED_PROBE_BYTES // (4 * len(self._packed.head_VD))):
            self._base_probes.popitem(last=False)
        self._accept([job for job, _ in going], [logits_NV for _, logits_NV in going])

    def _without_plain_probe(self, jobs: Sequence[GenerationJob]) -> list[PromptLayout]:
        """Return the prompts of adapted jobs that have to be read without an adapter too."""
        answered = {job.layout.prompts for job in jobs if not job.adapter_sha256 and isinstance(job.request, AnswerRequest)}
        layouts = {job.layout.prompts: job.layout for job in jobs if job.adapter_sha256}
        return [layout for prompts, layout in layouts.items() if prompts not in answered | self._base_probes.keys()]

    def _probe(self, job: GenerationJob, logits_1V: torch.Tensor) -> None:
        """Measure the adapter's effect. Both passes have one shape, so that an adapter without effect gives exactly 0."""
        self._base_probes.move_to_end(job.layout.prompts)
        base_1V = self._base_probes[job.layout.prompts]
        job.probe_delta = float((torch.log_softmax(logits_1V.float(), dim=-1) - base_1V).abs().max())

    def _decode_step(self) -> None:
        """Generate one token for every running row."""
        logits = self._next_logits([job.decode_group() for job in self._active], "decode")
        self._accept(self._active, logits)

    def _next_logits(self, groups: Sequence[Group], phase: Phase) -> list[torch.Tensor]:
        """Return each group's logits [N, V] after its prompts, or after its rows when decoding."""
        batch = self._packed.batch(groups, phase)
        blocks = split_rows(self._packed.hidden_states(batch), batch.sizes)
        if phase == "prompts":
            last = [group.cache.layout.last_rows_N for group in groups if group.cache is not None]
            blocks = [block_TD[rows_N] for rows_N, block_TD in zip(last, blocks, strict=False)]
        head_DV = self._packed.head_VD.t()
        return [torch.mm(hidden_ND, head_DV) for hidden_ND in blocks[: len(groups)]]

    def _accept(self, jobs: Sequence[GenerationJob], logits: Sequence[torch.Tensor]) -> None:
        """Choose a token for every running row of the jobs, and finish those without running rows."""
        if not jobs:
            return
        device = self._packed.device
        counts = [len(job.running) for job in jobs]
        noise = [job.rows[index].next_noise() for job in jobs for index in job.running]
        temperature_N = torch.tensor([job.temperature for job in jobs]).repeat_interleave(torch.tensor(counts)).to(device)
        top_p_N = torch.tensor([job.top_p for job in jobs], dtype=torch.float64).repeat_interleave(torch.tensor(counts)).to(device)
        uniform_N = torch.tensor(noise, dtype=torch.float64, device=device)
        tokens_N, logprobs_N = choose_tokens(torch.cat(list(logits)), temperature_N, top_p_N, uniform_N)
        tokens, logprobs = tokens_N.tolist(), logprobs_N.tolist()
        start = 0
        for job, count in zip(list(jobs), counts, strict=True):
            job.accept(tokens[start : start + count], logprobs[start : start + count], self._texts)
            start += count
            if not job.running:
                self._finished.append(job.output())
        self._active = [job for job in self._active if job.running]

    def _fail_active(self, error: RuntimeError) -> None:
        rows = sum(job.num_rows for job in self._active)
        reason = f"generating {rows} rows broke: {str(error)[:300]}; if memory ran out, lower max_concurrent_jobs of the agent"
        for job in self._active:
            self._finished.append(RequestFailed(request_id=job.request.request_id, error=GenerateError(reason), retryable=True))
        self._active = []

    def _fail(self, request: SampleRequest | AnswerRequest, error: SealError) -> None:
        self._reads.forget(request.request_id)
        self._finished.append(RequestFailed(request_id=request.request_id, error=error, retryable=isinstance(error, StoreError)))


def _adapter(request: SampleRequest | AnswerRequest) -> Path | None:
    return request.adapter if isinstance(request, AnswerRequest) else None


def _no_effect(job: GenerationJob) -> ReceiptError:
    return ReceiptError(
        f"adapter {job.adapter_sha256[:12]} changes the log-probabilities after the first prompt by {job.probe_delta}: "
        "expected more than 0, so its training did nothing or its tensors are not used"
    )


def _check(request: SampleRequest | AnswerRequest) -> None:
    """Refuse what cannot be generated. Raises GenerateError."""
    if isinstance(request, SampleRequest):
        sampling = request.sampling
        if not all(0 <= seed < _SEED_LIMIT for seed in request.seeds):
            raise GenerateError(f"expected seeds from 0 to 2**63 - 1, got {request.seeds}")
        if not request.seeds or sampling.max_new_tokens < 1 or not sampling.temperature >= 0 or not 0 < sampling.top_p <= 1:
            raise GenerateError(
                f"expected at least one seed, max_new_tokens >= 1, temperature >= 0 and 0 < top_p <= 1, "
                f"got {len(request.seeds)} seeds, {sampling}"
            )
        return
    if not request.prompts or request.max_new_tokens < 1:
        raise GenerateError(
            f"expected at least one prompt and max_new_tokens >= 1, got {len(request.prompts)} prompts, {request.max_new_tokens} tokens"
        )
    check_stop(request.stop)
