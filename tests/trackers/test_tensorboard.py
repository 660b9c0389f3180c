from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from seal_runtime.metrics.records import Scalars
from seal_runtime.trackers.base import TrackedRun
from seal_runtime.trackers.tensorboard_tracker import open_tensorboard


def test_tensorboard_reads_back_what_was_written(tmp_path: Path) -> None:
    opened = open_tensorboard(TrackedRun(name="r", folder=tmp_path, settings={}, known_id=""))
    for step, value in ((0, 0.25), (1, 0.5)):
        opened.tracker.write(Scalars(step=step, values={"reward/mean_score": value}, at=100.0 + step))
    opened.tracker.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["tensors"] == ["reward/mean_score"]
    found = [
        (event.step, event.wall_time, float(tensor_util.make_ndarray(event.tensor_proto))) for event in events.Tensors("reward/mean_score")
    ]
    assert found == [(0, 100.0, 0.25), (1, 101.0, 0.5)]
