"""Is it the same training? One edit by PEFT and the Trainer, and by the batched engine beside other edits, in float32."""

# P numbers of a factor
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

_NEIGHBOURS = 3


def measure_parity(loaded: LoadedModel, jobs: Sequence[BenchJob], max_tokens_per_step: int) -> Parity:
    """Compare on the edit of median work. `loaded` is a float32 model that no engine has hooked; it is hooked afterwards."""
    chosen = spread(jobs, 1)[0]
    others = [job for job in spread(jobs, _NEIGHBOURS) if job is not chosen]
    with tempfile.TemporaryDirectory(prefix="seal-parity-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the Trainer's own
        folder = Path(name)
        reference = train_reference(loaded, chosen.into(folder / "reference").request)
        engine = BatchedAdaptEngine(loaded, num_slots=1 + len(others), max_tokens_per_step=max_tokens_per_step)
        ours = chosen.into(folder / "ours").request
        for request in [ours, *(job.into(folder / "others").request for job in others)]:
            engine.submit(request)
        while engine.num_pending:
            for output in engine.step():
                if isinstance(output, RequestFailed):
                    raise output.error
        trained = load_file(ours.output_dir / "adapter_model.safetensors")
    return Parity(
        edit_id=chosen.request.request_id,
        num_steps=len(reference.losses),
        relative_delta_error=relative_delta_error(trained, reference),
    )


def relative_delta_error(trained: dict[str, torch.Tensor], reference: ReferenceOutput) -> float:
    """Return |ours - theirs| / |theirs - initial| over all factors."""
    error, moved = 0.0, 0.0
    for name, theirs_P in reference.trained.items():
        theirs_P = theirs_P.cpu()
        error += float((trained[name] - theirs_P).pow(2).sum())
        moved += float((theirs_P - reference.initial[name].cpu()).pow(2).sum())
    return float((error / moved) ** 0.5) if moved > 0 else float("nan")
