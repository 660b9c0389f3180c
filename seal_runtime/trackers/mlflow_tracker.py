"""MLflow, at MLFLOW_TRACKING_URI; without it in the run's own folder (`mlflow ui --backend-store-uri RUN/trackers/mlruns` shows it)."""

import os

from seal_runtime.metrics.records import Scalars
from seal_runtime.trackers.base import Opened, TrackedRun, flat_settings

MAX_SETTING_CHARS = 500


def open_mlflow(run: TrackedRun) -> Opened:
    """Begin or continue the run there. Raises mlflow's own error when the server cannot be reached."""
    if "MLFLOW_TRACKING_URI" not in os.environ:
        os.environ["MLFLOW_TRACKING_URI"] = (run.folder / "mlruns").resolve().as_uri()
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer releases refuse plain folders unless told
    import mlflow

    client = mlflow.MlflowClient()
    if run.known_id:
        return Opened(tracker=MlflowTracker(client, run.known_id), run_id=run.known_id)
    experiment = client.get_experiment_by_name("seal-runtime")
    experiment_id = experiment.experiment_id if experiment is not None else client.create_experiment("seal-runtime")
    there = client.create_run(experiment_id, run_name=run.name)
    for name, value in flat_settings(run.settings).items():
        client.log_param(there.info.run_id, name, value[:MAX_SETTING_CHARS])
    return Opened(tracker=MlflowTracker(client, there.info.run_id), run_id=str(there.info.run_id))


class MlflowTracker:
    """Logs figures over the policy version."""

    def __init__(self, client: object, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def write(self, scalars: Scalars) -> None:
        """Log the figures of one study."""
        for name, value in scalars.values.items():
            self._client.log_metric(self._run_id, name, value, timestamp=int(1000 * scalars.at), step=scalars.step)  # type: ignore[attr-defined]

    def close(self) -> None:
        """End the run there; it can be continued."""
        self._client.set_terminated(self._run_id)  # type: ignore[attr-defined]
