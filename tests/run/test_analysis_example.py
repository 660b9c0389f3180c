"""examples/analysis.py on a real, small run."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
from live_runs import DEADLINE_SECONDS, TOPOLOGY, environment, launched

from seal_runtime import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis")
    (folder / "tiny.yaml").write_text(TOPOLOGY)
    answer = launched("launch", "tiny.yaml", "--name", "small", "--no-live", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder / "runs" / "small"


def test_the_example_prints_tables_and_saves_what_it_can_draw(run_dir: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "analysis.py"), str(run_dir), "--out", str(tmp_path / "out")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for expected in ("small: done, policy v1", "Rewards by round", "Self-edits by round", "heldout-v1", "evaluate"):
        assert expected in done.stdout
    saved = {path.name for path in tmp_path.glob("out/*.png")}
    assert saved == (set() if "matplotlib is not installed" in done.stdout else {"learning-curve.png", "rewards.png"})


def test_a_real_run_opens_and_its_rewards_are_those_of_its_report(run_dir: Path) -> None:
    run = Run.open(run_dir)
    assert (run.status.finished, run.status.policy_version) == (True, 1)
    rewards = run.rewards()
    assert len(rewards) == 6
    (only,) = run.summary().rounds
    assert sorted(row.reward for row in rewards) == pytest.approx(only.rewards)
    assert run.metrics()
    assert {row.outcome for row in run.attempts()} == {"done"}
    assert run.story(rewards[0].edit_id).edit_id == rewards[0].edit_id
    assert (run_dir / "report.json").is_file()
