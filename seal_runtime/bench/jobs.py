"""What every arm of the inner-loop benchmark does: the same edits as training jobs, with what is needed to count their work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from protocol.jobs import LoraSpec, OptimSpec
from seal_runtime.bench.edits import BenchEdit
from seal_runtime.engines.base import AdaptRequest, Policy
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.schedules import count_steps
from seal_runtime.engines.training_sequences import encode_sequences
from seal_runtime.errors import ConfigError
from seal_runtime.seeds import derive_seed

_WARM_UP_STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchJob:
    """One edit to train on. `lengths` are the real tokens of its sequences, `num_steps` its optimizer steps."""

    request: AdaptRequest
    prompts: tuple[str, ...]
    lengths: tuple[int, ...]
    num_steps: int

    @property
    def num_tokens(self) -> int:
        """Return the real tokens of the whole training, all epochs."""
        optim = self.request.optim
        return round(sum(self.lengths) * self.num_steps * optim.batch_size / len(self.lengths)) if optim.num_steps else self._epoch_tokens()

    @property
    def num_padded_tokens(self) -> int:
        """Return the tokens of the same training padded to the maximal length, as the published code has it."""
        return self.num_steps * self.request.optim.batch_size * self.request.optim.max_length

    def into(self, folder: Path) -> "BenchJob":
        """Return the job with its adapter written under `folder`."""
        return replace(self, request=replace(self.request, output_dir=folder / self.request.request_id))

    def warm_up(self) -> "BenchJob":
        """Return a job of few steps that touches the same code."""
        return replace(self, request=replace(self.request, optim=replace(self.request.optim, num_steps=_WARM_UP_STEPS)))

    def without_padding(self) -> "BenchJob":
        """Return the job without any padding in its loss, beyond one end token where it has that."""
        optim = self.request.optim
        pad_loss = optim.pad_loss if optim.pad_loss in ("none", "eos") else "eos"
        return replace(self, request=replace(self.request, optim=replace(optim, pad_loss=pad_loss)))

    def _epoch_tokens(self) -> int:
        return sum(self.lengths) * self.request.optim.epochs


def make_jobs(loaded: LoadedModel, edits: Sequence[BenchEdit], lora: LoraSpec, optim: OptimSpec) -> list[BenchJob]:
    """Return one job for each edit, each with a seed of its own. Raises ConfigError when an edit has nothing to learn."""
    jobs = []
    for edit in edits:
        lengths = tuple(
            len(sequence.ids_L) for sequence in encode_sequences(loaded, edit.sequences, optim.max_length, optim.pad_loss).sequences
        )
        if not lengths:
            raise ConfigError(f"{edit.edit_id} has no token to learn within {optim.max_length} tokens: raise --max-length")
        request = AdaptRequest(
            request_id=edit.edit_id,
            policy=Policy(version=0, adapters=()),
            sequences=edit.sequences,
            lora=lora,
            optim=optim,
            seed=derive_seed(0, "bench", edit.edit_id),
            output_dir=Path(edit.edit_id),
        )
        jobs.append(BenchJob(request=request, prompts=edit.prompts, lengths=lengths, num_steps=count_steps(optim, len(lengths))))
    return jobs


def spread(jobs: Sequence[BenchJob], count: int) -> list[BenchJob]:
    """Return `count` jobs that stand for all: the middles of as many equal parts of the jobs in the order of their steps."""
    if count >= len(jobs):
        return list(jobs)
    ordered = sorted(jobs, key=lambda job: (job.num_steps, job.num_tokens))
    return [ordered[(2 * index + 1) * len(ordered) // (2 * count)] for index in range(count)]


def by_work(jobs: Sequence[BenchJob]) -> list[BenchJob]:
    """Return the jobs longest first, the order in which the engine fills its slots."""
    return sorted(jobs, key=lambda job: -job.num_tokens * job.num_steps)
