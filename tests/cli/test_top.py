"""`seal-runtime top` in a real terminal, on a real run; and the figures that a real run serves and tracks."""

import json
import os
import shutil
import signal
import sys
import urllib.request
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from protocol.security import read_connection_file

sys.path.insert(0, str(Path(__file__).parent))
from live_runs import TOPOLOGY, command, launched, running, seal, status_of, until
from screens import PtyScreen, TmuxScreen

HAS_TMUX = shutil.which("tmux") is not None


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TOPOLOGY)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished run `short`."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(TOPOLOGY)
    answer = launched("launch", "tiny.yaml", "--name", "short", "--no-live", "--set", "run.trackers=[tensorboard, wandb]", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder


def test_top_shows_a_run_survives_its_controller_and_shows_the_end(workplace: Path) -> None:
    connection = workplace / "runs" / "watched" / "connection.json"
    terminal = TmuxScreen if HAS_TMUX else PtyScreen
    with (
        running(workplace, "watched", "--set", "bus.metrics_bind=127.0.0.1:0") as launcher,
        terminal(command("top", "watched"), workplace) as screen,
    ):
        screen.wait_for("seal-runtime top · runs/watched", "edits/h", "evaluator-0", "bottleneck")
        _check_served(workplace / "runs" / "watched" / "logs" / "controller.jsonl")
        screen.press("s")
        screen.wait_for("sorted by busy")
        killed = read_connection_file(connection).controller_pid
        os.kill(killed, signal.SIGKILL)
        until(lambda: connection.exists() and read_connection_file(connection).controller_pid != killed, "a new controller is up")
        until(lambda: int(str(status_of("watched", workplace)["items_done"])) > 0, "the new controller answers")
        screen.forget()
        screen.wait_for("running", "scored", "edits/h")
        launcher.send_signal(signal.SIGTERM)
        screen.wait_for("stopped", "the run is over")
        screen.press("q")
        assert screen.exit_code() == 0


def _check_served(log: Path) -> None:
    url = next(json.loads(line)["url"] for line in log.read_text().splitlines() if '"metrics_served"' in line)
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        assert "seal_edits_scored" in answer.read().decode()
    with urllib.request.urlopen(f"{url}/health", timeout=30) as answer:
        assert json.loads(answer.read())["ok"] is True


def test_top_of_a_finished_run_shows_how_it_ended(finished: Path) -> None:
    with PtyScreen(command("top"), finished) as screen:
        screen.wait_for("done", "round 1 of 1", "the run is over", "no agent is here")
        screen.press("q")
        assert screen.exit_code() == 0


def test_top_without_a_terminal_says_what_to_use_instead(workplace: Path) -> None:
    answer = seal("top", cwd=workplace)
    assert answer.returncode == 2
    assert "seal-runtime status" in answer.stderr


def test_a_finished_run_leaves_its_curves_for_tensorboard(finished: Path) -> None:
    run = finished / "runs" / "short"
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    reward = next(record for record in records if record["study"] == "round-1")
    assert sum(reward["time_shares"].values()) == pytest.approx(1.0)
    assert reward["texts"]["num_written"] == 6
    assert reward["edits_per_hour"] > 0
    events = EventAccumulator(str(run / "trackers" / "tensorboard"))
    events.Reload()
    assert {"reward/mean_score", "heldout/mean_score", "reward/time_shares/waiting"} <= set(events.Tags()["tensors"])
    left_out = [line for line in (run / "logs" / "trackers.jsonl").read_text().splitlines() if "tracker_left_out" in line]
    assert all("wandb" in line for line in left_out), "wandb is missing or nobody is logged in; the run does not mind"
