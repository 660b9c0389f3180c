"""Trained adapters on their way to disk while others train: the factors leave the device at once, a thread writes them.

Invariant: an output is given back after its files are complete, in the order in which trainings ended. At most a few adapters wait for
the disk, and those that ended in one step with them; then training waits (`is_full`).
"""

from functools import partial

from protocol.errors import SealError
from seal_runtime.engines.adapter_files import LoraAdapter, write_adapter
from seal_runtime.engines.base import AdaptOutput, RequestFailed
from seal_runtime.engines.side_thread import SideThread

_MAX_UNWRITTEN = 4
"""A disk that is slower than training for longer than this is what bounds the rate; more would only take memory."""


class AdapterExport:
    """Writes adapters to the folders of their requests."""

    def __init__(self) -> None:
        self._writing: SideThread[AdaptOutput] = SideThread("adapter-writer")

    def __len__(self) -> int:
        return len(self._writing)

    @property
    def has_ended(self) -> bool:
        """Say whether `ended` has something to return."""
        return self._writing.has_ended

    @property
    def is_full(self) -> bool:
        """Say whether training should wait for the disk."""
        return len(self._writing) >= _MAX_UNWRITTEN

    def begin(self, output: AdaptOutput, adapter: LoraAdapter) -> None:
        """Write an adapter that nobody changes any more."""
        self._writing.submit(output.request_id, partial(_write, output, adapter))

    def ended(self, patience_seconds: float) -> list[AdaptOutput | RequestFailed]:
        """Return the outputs whose files are there, and as retryable failures those that the disk refused."""
        return [
            RequestFailed(request_id=request_id, error=result, retryable=True) if isinstance(result, SealError) else result
            for request_id, result in self._writing.ended(patience_seconds)
        ]

    def cancel(self, request_id: str) -> None:
        """Forget an adapter; nothing is written to its folder after this returns. Unknown ids are ignored."""
        self._writing.drop(request_id)

    def close(self) -> None:
        """Forget all adapters and end the thread. Idempotent."""
        self._writing.close()


def _write(output: AdaptOutput, adapter: LoraAdapter) -> AdaptOutput:
    write_adapter(output.output_dir, adapter)
    return output
