"""TensorBoard event files, written by the tensorboard package itself (no torch, no TensorFlow)."""

from seal_runtime.metrics.records import Scalars
from seal_runtime.trackers.base import Opened, TrackedRun


def open_tensorboard(run: TrackedRun) -> Opened:
    """Begin an event file in the run's folder; a resumed run gets another one beside it, and TensorBoard draws both as one."""
    return Opened(tracker=TensorBoardTracker(run), run_id="")


class TensorBoardTracker:
    """Writes scalars over the policy version."""

    def __init__(self, run: TrackedRun) -> None:
        from tensorboard.summary import Writer

        self._writer = Writer(str(run.folder / "tensorboard"))

    def write(self, scalars: Scalars) -> None:
        """Write the figures of one study."""
        for name, value in scalars.values.items():
            self._writer.add_scalar(name, value, scalars.step, wall_time=scalars.at)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
