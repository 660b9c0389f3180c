"""What a killed process leaves is removed, what a live one has stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_runtime.store import leftovers
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.store.leftovers import FOREIGN_SECONDS, STAGING_PREFIX, make_scratch, sweep_scratch, sweep_staging

ROOT = Path(__file__).resolve().parents[2]
OTHER = (
    "import sys, time\nfrom pathlib import Path\nfrom seal_runtime.store.adapters import AdapterStore\n"
    "from seal_runtime.store.leftovers import make_scratch\n"
    "folder = Path(sys.argv[1])\nAdapterStore(folder).staging_dir().mkdir()\nmake_scratch('run-agent', folder)\n"
    "print('made', flush=True)\ntime.sleep(600)\n"
)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a live process that has a staging and a scratch folder in tmp_path."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    yield process
    process.kill()
    process.communicate()


def test_folders_of_a_live_process_stay_and_go_with_it(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    mine = AdapterStore(tmp_path).staging_dir()
    mine.mkdir()
    assert (sweep_staging(tmp_path), sweep_scratch(tmp_path)) == (0, 0)
    other.send_signal(signal.SIGSTOP)
    assert (sweep_staging(tmp_path), sweep_scratch(tmp_path)) == (0, 0), "a stopped process lives"
    other.kill()
    deadline = time.monotonic() + 30
    while sweep_staging(tmp_path) == 0:  # a zombie counts as dead, but the signal takes its time
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sweep_scratch(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [mine]


def test_a_pid_that_another_process_has_by_now_is_no_owner(tmp_path: Path) -> None:
    scratch = make_scratch("run-agent", tmp_path)
    place, pid, started, rest = scratch.name.removeprefix("seal-scratch-").split("-", 3)
    scratch.rename(tmp_path / f"seal-scratch-{place}-{pid}-{int(started) + 1}-{rest}")
    assert sweep_scratch(tmp_path) == 1


def test_what_another_host_or_an_older_release_is_writing_stays_for_a_day(tmp_path: Path) -> None:
    names = [f"{STAGING_PREFIX}{'0' * 12}-1-1-abc", f"{STAGING_PREFIX}{'a' * 32}"]
    for name in names:
        (tmp_path / name).mkdir()
    foreign_scratch = tmp_path / f"seal-scratch-{'0' * 12}-1-1-run"
    foreign_scratch.mkdir()
    assert (sweep_staging(tmp_path), sweep_scratch(tmp_path)) == (0, 0)
    long_ago = time.time() - FOREIGN_SECONDS - 60
    for path in (*(tmp_path / name for name in names), foreign_scratch):
        os.utime(path, (long_ago, long_ago))
    assert (sweep_staging(tmp_path), sweep_scratch(tmp_path)) == (2, 0)


def test_links_files_and_adapters_are_never_touched(tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere"
    (kept / ("b" * 64)).mkdir(parents=True)
    dead = f"{STAGING_PREFIX}{leftovers._place()}-999999999-1-"
    (tmp_path / f"{dead}link").symlink_to(kept)
    (tmp_path / f"{dead}file").write_text("")
    (tmp_path / ("c" * 64)).mkdir()
    assert sweep_staging(tmp_path) == 0
    assert sorted(path.name for path in kept.iterdir()) == ["b" * 64]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert sweep_staging(tmp_path / "nowhere") == 0


def test_without_proc_a_process_is_asked_by_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leftovers._started_without_proc(os.getpid()) == 0
    assert leftovers._started_without_proc(999_999_999) is None
