"""After a run nothing is left in the store that the run does not keep."""

import json
from pathlib import Path

import pytest

from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.store.sweep import sweep_store

POLICY, LATE = "a" * 64, "b" * 64


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run with one policy's adapter and one that a late agent published."""
    made = RunDirectory(tmp_path / "run")
    made.create()
    for name in (POLICY, LATE, ".upload-1"):
        (made.adapters / name).mkdir()
    (made.adapters / ".nonce").write_text("nonce")
    for version, sha256 in ((0, None), (1, POLICY)):
        made.policy(version).mkdir()
        (made.policy(version) / "version.json").write_text(json.dumps({"adapter_sha256": sha256}))
    return made


def test_policies_stay_and_what_came_late_goes(run: RunDirectory) -> None:
    assert sweep_store(run, keep_adapters=False) == 2
    assert sorted(path.name for path in run.adapters.iterdir()) == [".nonce", POLICY]
    assert sweep_store(run, keep_adapters=False) == 0


def test_adapters_that_are_kept_stay_and_half_made_ones_go(run: RunDirectory) -> None:
    assert sweep_store(run, keep_adapters=True) == 1
    assert sorted(path.name for path in run.adapters.iterdir()) == [".nonce", POLICY, LATE]
