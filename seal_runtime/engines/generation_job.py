"""One generation request under way: its rows, what each has produced, and when each ends."""

# N rows still running
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from protocol.jobs import GeneratedEdit
from seal_runtime.engines.answer_ends import answer_text
from seal_runtime.engines.base import AnswerOutput, AnswerRequest, SampleOutput, SampleRequest
from seal_runtime.engines.key_value_cache import KeyValueCache
from seal_runtime.engines.lora_group import Group, LoraFactors
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.prompt_layout import PromptReader

_NOISE_BLOCK = 256


@dataclass(slots=True)
class Row:
    """One sequence being generated. `noise` holds uniform numbers from the row's own seed, one a token."""

    prompt_length: int
    generator: torch.Generator | None
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    is_stopped: bool = False

    def next_noise(self) -> float:
        """Return the uniform number for the next token."""
        if self.generator is None:
            return 0.0
        while len(self.noise) <= len(self.token_ids):
            self.noise += torch.rand(_NOISE_BLOCK, generator=self.generator, dtype=torch.float64).tolist()
        return self.noise[len(self.token_ids)]


class TokenTexts:
    """Knows the text of each token; each is looked at once."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._tokenizer = loaded.tokenizer
        self._known: dict[int, str] = {}

    def holds(self, token: int, character: str) -> bool:
        """Say whether a token's text holds a character; none holds ""."""
        if token not in self._known:
            self._known[token] = self._tokenizer.decode([token])
        return bool(character) and character in self._known[token]


class GenerationJob:
    """The rows of a request, in its order.

    Prompts longer than the context less max_new_tokens are cut at the left, and counted. Where max_new_tokens is more than the context
    leaves after the longest prompt, it is clipped to that, though not below half of the context.
    """

    def __init__(
        self,
        request: SampleRequest | AnswerRequest,
        loaded: LoadedModel,
        reader: PromptReader,
        factors: dict[int, LoraFactors],
        sha256: str,
        policy_sha256s: tuple[str, ...],
    ) -> None:
        self.request = request
        self.factors = factors
        self.adapter_sha256 = sha256
        self._policy_sha256s = policy_sha256s
        self._loaded = loaded
        is_sample = isinstance(request, SampleRequest)
        asked = request.sampling.max_new_tokens if isinstance(request, SampleRequest) else request.max_new_tokens
        read = reader.read((request.prompt,) if isinstance(request, SampleRequest) else request.prompts, asked)
        self.layout, self.max_new_tokens, self.num_truncated = read.layout, read.max_new_tokens, read.num_truncated
        prompts = self.layout.prompts
        if isinstance(request, SampleRequest):
            generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
            self.rows = [Row(len(prompts[0]), generator) for generator in generators]
        else:
            self.rows = [Row(len(ids), None) for ids in prompts]
        self.temperature = request.sampling.temperature if isinstance(request, SampleRequest) else 0.0
        self.top_p = request.sampling.top_p if isinstance(request, SampleRequest) else 1.0
        self.running = list(range(len(self.rows)))
        self.probe_delta = 0.0
        self._is_expanded = not is_sample
        self.cache = KeyValueCache(self.layout)

    @property
    def num_rows(self) -> int:
        """Return how many sequences the request generates."""
        return len(self.rows)

    def prompt_group(self) -> Group:
        """Return the group that reads the prompts into the cache."""
        return prompt_group(self.cache, self.factors)

    def decode_group(self) -> Group:
        """Return the group of the newest tokens of the running rows."""
        self.cache.open_column()
        rows = [self.rows[index] for index in self.running]
        return Group(
            ids_T=torch.tensor([row.token_ids[-1] for row in rows]),
            positions_T=torch.tensor([row.prompt_length + len(row.token_ids) - 1 for row in rows]),
            lengths=[],
            factors=self.factors,
            cache=self.cache,
        )

    def expand(self, logits_NV: torch.Tensor) -> torch.Tensor:
        """Return logits with one row for each running sequence: the samples of a request share one prompt."""
        if self._is_expanded:
            return logits_NV
        self._is_expanded = True
        self.cache.select([0] * len(self.rows))
        return logits_NV.expand(len(self.rows), -1)

    def accept(self, tokens: Sequence[int], logprobs: Sequence[float], texts: TokenTexts) -> None:
        """Take the newest token of every running row and drop the rows that have ended."""
        going = []
        stop = self.request.stop if isinstance(self.request, AnswerRequest) else ""
        for position, (index, token, logprob) in enumerate(zip(self.running, tokens, logprobs, strict=True)):
            row = self.rows[index]
            row.token_ids.append(token)
            row.logprobs.append(logprob)
            row.is_stopped = token in self._loaded.stop_token_ids or texts.holds(token, stop)
            if not row.is_stopped and len(row.token_ids) < self.max_new_tokens:
                going.append(position)
        if len(going) < len(self.running):
            self.running = [self.running[position] for position in going]
            if going:
                self.cache.select(going)

    def output(self) -> SampleOutput | AnswerOutput:
        """Return the finished request's output."""
        request = self.request
        if isinstance(request, AnswerRequest):
            answers = tuple(answer_text(self._text(row), request.stop) for row in self.rows)
            return AnswerOutput(
                request_id=request.request_id,
                answers=answers,
                adapter_sha256=self.adapter_sha256,
                policy_sha256s=self._policy_sha256s,
                probe_delta=self.probe_delta,
                token_ids=tuple(tuple(row.token_ids) for row in self.rows),
            )
        edits = tuple(
            GeneratedEdit(
                text=self._text(row),
                token_ids=tuple(row.token_ids),
                logprobs=tuple(row.logprobs),
                finish_reason="stop" if row.is_stopped else "length",
            )
            for row in self.rows
        )
        return SampleOutput(
            request_id=request.request_id, edits=edits, prompt_tokens=len(self.layout.prompts[0]), prompt_truncated=self.num_truncated
        )

    def _text(self, row: Row) -> str:
        ids = row.token_ids[:-1] if row.token_ids[-1] in self._loaded.stop_token_ids else row.token_ids
        return str(self._loaded.tokenizer.decode(ids, skip_special_tokens=True))


def prompt_group(cache: KeyValueCache, factors: dict[int, LoraFactors]) -> Group:
    """Return a group that reads prompts into a cache."""
    layout = cache.layout
    return Group(ids_T=layout.ids_T, positions_T=layout.positions_T, lengths=layout.lengths, factors=factors, cache=cache)
