import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded import RecordedMlflow, RecordedWandb
from structlog.testing import capture_logs

from seal_runtime.metrics.records import Scalars
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.trackers.base import Opened, TrackedRun
from seal_runtime.trackers.feed import Feed
from seal_runtime.trackers.registry import OPENERS


class Kept:
    """A tracker that keeps what it gets, and fails when it is told to."""

    def __init__(self) -> None:
        self.written: list[Scalars] = []
        self.is_closed = False
        self.fails = False

    def write(self, scalars: Scalars) -> None:
        if self.fails:
            raise ConnectionError("the network is gone")
        self.written.append(scalars)

    def close(self) -> None:
        self.is_closed = True


def opener(kept: Kept) -> Callable[[TrackedRun], Opened]:
    return lambda run: Opened(tracker=kept, run_id="id")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def add(run: RunDirectory, study: str, score: float) -> None:
    record = {"study": study, "purpose": "reward", "policy_version": int(study[6:]) - 1, "mean_score": score, "at": 2.0}
    with run.metrics.open("a") as stream:
        stream.write(json.dumps(record) + "\n")


def test_each_record_is_handed_on_once(run: RunDirectory) -> None:
    kept = Kept()
    feed = Feed(run, {}, {"kept": opener(kept)})
    feed.advance()
    add(run, "round-1", 0.1)
    feed.advance()
    feed.advance()
    add(run, "round-2", 0.2)
    feed.close()
    assert [(scalars.step, scalars.values) for scalars in kept.written] == [
        (0, {"reward/mean_score": 0.1}),
        (1, {"reward/mean_score": 0.2}),
    ]
    assert kept.is_closed


def test_a_second_process_goes_on_where_the_first_one_was(run: RunDirectory) -> None:
    add(run, "round-1", 0.1)
    Feed(run, {}, {"kept": opener(Kept())}).close()
    add(run, "round-2", 0.2)
    kept, known = Kept(), []

    def again(tracked: TrackedRun) -> Opened:
        known.append(tracked.known_id)
        return Opened(tracker=kept, run_id=tracked.known_id)

    Feed(run, {}, {"kept": again}).close()
    assert known == ["id"]
    assert [scalars.step for scalars in kept.written] == [1]


def test_a_tracker_that_fails_is_told_once_and_the_others_go_on(run: RunDirectory) -> None:
    bad, good = Kept(), Kept()
    bad.fails = True
    feed = Feed(run, {}, {"bad": opener(bad), "good": opener(good)})
    with capture_logs() as logs:
        for number in (1, 2, 3):
            add(run, f"round-{number}", 0.1)
            feed.advance()
    assert [(entry["tracker"], entry["reason"]) for entry in logs] == [("bad", "ConnectionError: the network is gone")]
    assert len(good.written) == 3
    assert not feed.is_empty


def test_a_missing_library_is_told_once(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///nowhere")
    with capture_logs() as logs:
        feed = Feed(run, {}, {"mlflow": OPENERS["mlflow"]})
    assert feed.is_empty
    assert [entry["event"] for entry in logs] == ["tracker_left_out"]
    assert "pip install 'seal-runtime[mlflow]'" in logs[0]["reason"]


def test_wandb_gets_the_policy_version_as_axis(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = RecordedWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    add(run, "round-2", 0.2)
    Feed(run, {"a": 1}, {"wandb": OPENERS["wandb"]}).close()
    assert wandb.calls == [
        ("init", (run.root.name, None, "allow")),
        ("define_metric", ("policy_version", None)),
        ("define_metric", ("*", "policy_version")),
        ("log", {"reward/mean_score": 0.2, "policy_version": 1}),
        ("finish", None),
    ]
    wandb.calls.clear()
    Feed(run, {}, {"wandb": OPENERS["wandb"]}).close()
    assert wandb.calls[0] == ("init", (run.root.name, "new-id", "allow")), "the same run is continued"


def test_wandb_without_a_login_is_left_out(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", RecordedWandb(refuses=True))
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    with capture_logs() as logs:
        feed = Feed(run, {}, {"wandb": OPENERS["wandb"]})
    assert feed.is_empty
    assert "wandb login" in logs[0]["reason"]


def test_mlflow_gets_settings_and_steps(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = RecordedMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///nowhere")
    add(run, "round-2", 0.2)
    Feed(run, {"trainer": {"lora": {"rank": 4}}}, {"mlflow": OPENERS["mlflow"]}).close()
    assert mlflow.calls == [
        ("create_run", ("7", run.root.name)),
        ("log_param", ("trainer.lora.rank", "4")),
        ("log_metric", ("mlflow-id", "reward/mean_score", 0.2, 2000, 1)),
        ("set_terminated", "mlflow-id"),
    ]
