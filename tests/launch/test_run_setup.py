import subprocess
import sys
from pathlib import Path

import pytest

from launch.run_setup import claim, is_claimed, new_run_directory, write_topology
from seal_runtime.config.topology import RunConfig, Topology
from seal_runtime.errors import ConfigError, LaunchError
from seal_runtime.store.run_directory import RunDirectory


def topology(base: Path, name: str = "quickstart") -> Topology:
    return Topology(run=RunConfig(name=name, dir=str(base)))


def existing_run(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    run.create()
    write_topology(run, "run: {}\n")
    return run


def test_a_new_name_gets_its_folder(tmp_path: Path) -> None:
    run = new_run_directory(topology(tmp_path / "runs"), name=None, run_dir=None)
    assert run.root == tmp_path / "runs" / "quickstart"
    assert run.root.is_dir()


def test_a_name_from_the_topology_is_numbered_when_it_is_taken(tmp_path: Path) -> None:
    existing_run(tmp_path / "quickstart")
    existing_run(tmp_path / "quickstart-2")
    assert new_run_directory(topology(tmp_path), name=None, run_dir=None).root.name == "quickstart-3"


@pytest.mark.parametrize("given", ["name", "run_dir"])
def test_a_given_name_that_is_taken_is_refused(tmp_path: Path, given: str) -> None:
    existing_run(tmp_path / "mine")
    with pytest.raises(LaunchError, match=r"already holds a run.*seal-runtime resume"):
        new_run_directory(
            topology(tmp_path), name="mine" if given == "name" else None, run_dir=tmp_path / "mine" if given == "run_dir" else None
        )


def test_an_empty_folder_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert new_run_directory(topology(tmp_path), name=None, run_dir=tmp_path / "mine").root == tmp_path / "mine"


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        new_run_directory(topology(tmp_path), name="mine", run_dir=None)


def test_a_second_launch_in_a_running_directory_is_refused(tmp_path: Path) -> None:
    run = existing_run(tmp_path / "quickstart")
    with claim(run):
        assert is_claimed(run)
        with pytest.raises(LaunchError, match=r"another launch \(pid \d+\) is running in"):
            new_run_directory(topology(tmp_path), name=None, run_dir=None)
        with pytest.raises(LaunchError, match="another launch"), claim(run):
            pass
    assert not is_claimed(run)


def test_the_claim_of_a_killed_launcher_is_free_again(tmp_path: Path) -> None:
    run = existing_run(tmp_path / "quickstart")
    code = (
        "import sys, os, signal\nfrom pathlib import Path\nfrom launch.run_setup import claim\n"
        "from seal_runtime.store.run_directory import RunDirectory\n"
        f"with claim(RunDirectory(Path({str(run.root)!r}))):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == -9
    with claim(run):
        assert is_claimed(run)


def test_the_topology_is_there_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "x")
    write_topology(run, "run: {name: x}\n")
    assert run.topology.read_text() == "run: {name: x}\n"
    assert sorted(path.name for path in run.root.iterdir()) == ["adapters", "logs", "policies", "topology.resolved.yaml"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((ConfigError, LaunchError), match="cannot"):
        new_run_directory(topology(tmp_path / "file"), name="x", run_dir=None)
