"""Weights & Biases, online or offline as its own variables say (WANDB_API_KEY, WANDB_MODE=offline, WANDB_PROJECT, WANDB_ENTITY)."""

import os

from seal_runtime.metrics.records import Scalars
from seal_runtime.trackers.base import Opened, TrackedRun

AXIS = "policy_version"


def open_wandb(run: TrackedRun) -> Opened:
    """Begin or continue the run there. Raises wandb's own error when nobody is logged in: this process cannot be asked for a key."""
    import wandb

    os.environ.setdefault("WANDB_PROJECT", "seal-runtime")
    there = wandb.init(
        name=run.name,
        id=run.known_id or None,
        resume="allow",
        dir=str(run.folder),
        config=run.settings,
        settings=wandb.Settings(silent=True, console="off"),
    )
    there.define_metric(AXIS)
    there.define_metric("*", step_metric=AXIS)
    return Opened(tracker=WandbTracker(there), run_id=str(there.id))


class WandbTracker:
    """Logs figures with the policy version as their axis."""

    def __init__(self, there: object) -> None:
        self._run = there

    def write(self, scalars: Scalars) -> None:
        """Log the figures of one study."""
        self._run.log({**scalars.values, AXIS: scalars.step})  # type: ignore[attr-defined]

    def close(self) -> None:
        """Finish the run there; it can be continued."""
        self._run.finish()  # type: ignore[attr-defined]
