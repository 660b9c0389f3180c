"""Stand-ins for wandb and mlflow that record the calls of their real interfaces (wandb 0.31, mlflow 3.17 were tried by hand)."""

import types
from typing import Any


class RecordedWandb(types.ModuleType):
    """`wandb.init` gives a run; `refuses` makes it raise as the real one does without a login."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__("wandb")
        self.refuses = refuses
        self.calls: list[tuple[str, Any]] = []

    def Settings(self, **options: object) -> dict[str, object]:
        return options

    def init(self, *, name: str, id: str | None, resume: str, dir: str, config: dict[str, object], settings: object) -> "RecordedRun":
        if self.refuses:
            raise RuntimeError("No API key configured. Use `wandb login` to log in.")
        self.calls.append(("init", (name, id, resume)))
        return RecordedRun(self, id or "new-id")


class RecordedRun:
    """A run of wandb."""

    def __init__(self, module: RecordedWandb, run_id: str) -> None:
        self.id = run_id
        self._module = module

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self._module.calls.append(("define_metric", (name, step_metric)))

    def log(self, values: dict[str, float]) -> None:
        self._module.calls.append(("log", values))

    def finish(self) -> None:
        self._module.calls.append(("finish", None))


class RecordedMlflow(types.ModuleType):
    """`mlflow.MlflowClient` with the four calls that are made."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.calls: list[tuple[str, Any]] = []

    def MlflowClient(self) -> "RecordedMlflow":
        return self

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return "7"

    def create_run(self, experiment_id: str, run_name: str) -> types.SimpleNamespace:
        self.calls.append(("create_run", (experiment_id, run_name)))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="mlflow-id"))

    def log_param(self, run_id: str, name: str, value: str) -> None:
        self.calls.append(("log_param", (name, value)))

    def log_metric(self, run_id: str, name: str, value: float, *, timestamp: int, step: int) -> None:
        self.calls.append(("log_metric", (run_id, name, value, timestamp, step)))

    def set_terminated(self, run_id: str) -> None:
        self.calls.append(("set_terminated", run_id))
