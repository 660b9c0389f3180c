"""Which trackers there are."""

from collections.abc import Callable

from seal_runtime.trackers.base import Opened, TrackedRun
from seal_runtime.trackers.mlflow_tracker import open_mlflow
from seal_runtime.trackers.tensorboard_tracker import open_tensorboard
from seal_runtime.trackers.wandb_tracker import open_wandb

OPENERS: dict[str, Callable[[TrackedRun], Opened]] = {"tensorboard": open_tensorboard, "wandb": open_wandb, "mlflow": open_mlflow}
"""How to open each kind. Its library is imported when it is opened, not before."""
