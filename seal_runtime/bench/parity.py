"""Is it the same training? A few edits by PEFT and the Trainer, and by the batched engine all at once, in float32."""

# P numbers of a factor
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from seal_runtime.bench.jobs import BenchJob, spread
from seal_runtime.bench.results import Parity
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import RequestFailed
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.reference import ReferenceOutput, train_reference

NUM_EDITS = 5


def measure_parity(loaded: LoadedModel, jobs: Sequence[BenchJob], max_tokens_per_step: int) -> Parity:
    """Compare on a few edits of different size. `loaded` is a float32 model that no engine has hooked; it is hooked afterwards."""
    chosen = spread(jobs, NUM_EDITS)[:NUM_EDITS]
    with tempfile.TemporaryDirectory(prefix="seal-parity-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the Trainer's own
        folder = Path(name)
        references = [train_reference(loaded, job.into(folder / "reference").request) for job in chosen]
        engine = BatchedAdaptEngine(loaded, num_slots=len(chosen), max_tokens_per_step=max_tokens_per_step)
        requests = [job.into(folder / "ours").request for job in chosen]
        for request in requests:
            engine.submit(request)
        while engine.num_pending:
            for output in engine.step():
                if isinstance(output, RequestFailed):
                    raise output.error
        trained = [load_file(request.output_dir / "adapter_model.safetensors") for request in requests]
    errors = [relative_delta_error(ours, theirs) for ours, theirs in zip(trained, references, strict=True)]
    return Parity(
        num_edits=len(errors),
        num_steps=sum(len(reference.losses) for reference in references),
        median_error=statistics.median(errors),
        largest_error=max(errors),
    )


def relative_delta_error(trained: dict[str, torch.Tensor], reference: ReferenceOutput) -> float:
    """Return |ours - theirs| / |theirs - initial| over all factors."""
    error, moved = 0.0, 0.0
    for name, theirs_P in reference.trained.items():
        theirs_P = theirs_P.cpu()
        error += float((trained[name] - theirs_P).pow(2).sum())
        moved += float((theirs_P - reference.initial[name].cpu()).pow(2).sum())
    return float((error / moved) ** 0.5) if moved > 0 else float("nan")
