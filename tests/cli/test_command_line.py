import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seal_runtime import __version__
from seal_runtime.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "launch",
    "resume",
    "validate",
    "plan",
    "attach",
    "status",
    "logs",
    "stop",
    "drain",
    "scale",
    "report",
    "export",
    "seal",
    "story",
    "doctor",
    "pretrain",
)
HEAVY = ("torch", "transformers", "peft", "vllm", "datasets", "zmq", "pydantic")


def seal(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"} | variables
    command = [sys.executable, "-m", "seal_runtime.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_help_names_every_command() -> None:
    output = CliRunner().invoke(app, ["--help"]).output
    assert [command for command in COMMANDS if f" {command} " not in output] == []


def test_the_version_is_printed_and_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys\nsys.argv = ['seal-runtime', '--version']\nfrom seal_runtime.cli import main\n"
        f"try:\n    main()\nexcept SystemExit:\n    print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert result.stdout.splitlines() == [f"seal-runtime {__version__}", "[]"]


def test_an_error_of_ours_is_one_line_and_exit_code_two(tmp_path: Path) -> None:
    result = seal("status", "nowhere", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: expected a run directory or the name of a run, got 'nowhere'")
    assert "Traceback" not in result.stderr


def test_debugging_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in seal("status", "nowhere", cwd=tmp_path, SEAL_DEBUG="1").stderr


def test_a_bad_topology_starts_nothing_and_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("trainer:\n  lora: {rnak: 16}\n")
    for command in ("validate", "launch"):
        result = seal(command, "bad.yaml", cwd=tmp_path)
        assert result.returncode == 2
        assert "trainer.lora.rnak" in result.stderr
        assert "rank" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_missing_topology_is_a_clear_error(tmp_path: Path) -> None:
    result = seal("launch", "no.yaml", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "no.yaml" in result.stderr


def test_dry_run_prints_the_resolved_topology_and_starts_nothing(tmp_path: Path) -> None:
    topology = str(ROOT / "examples" / "quickstart.yaml")
    result = seal("launch", topology, "--dry-run", "--set", "trainer.lora.rank=8", "--seed", "5", "--name", "mine", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "rank: 8" in result.stdout
    assert "seed: 5" in result.stdout
    assert "name: mine" in result.stdout
    assert "# trainer-1: CUDA_VISIBLE_DEVICES= " in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_resolved_topology_validates_again(tmp_path: Path) -> None:
    dry = seal("launch", str(ROOT / "examples" / "quickstart.yaml"), "--dry-run", cwd=tmp_path)
    (tmp_path / "again.yaml").write_text(dry.stdout)
    result = seal("validate", "again.yaml", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "is valid: model builtin:seal-tiny" in result.stdout


def test_name_and_run_dir_exclude_each_other(tmp_path: Path) -> None:
    result = seal("launch", str(ROOT / "examples" / "quickstart.yaml"), "--name", "a", "--run-dir", "b", cwd=tmp_path)
    assert result.returncode == 2
    assert "got both" in result.stderr


@pytest.mark.parametrize("name", ["../escape", "a/b", "", "-x y"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    result = seal("launch", str(ROOT / "examples" / "quickstart.yaml"), f"--name={name}", "--dry-run", cwd=tmp_path)
    assert result.returncode == 2
    assert "run.name" in result.stderr


def test_doctor_finds_this_environment_sound(tmp_path: Path) -> None:
    result = seal("doctor", "--json", cwd=tmp_path)
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert {"python", "packages", "bus", "port", "disk", "folder", "model", "cpu", "gpu", "vllm"} <= set(findings)
    assert [finding for finding in findings.values() if finding["state"] == "failed"] == []
    assert result.returncode == 0


def test_pretrain_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("")
    result = seal("pretrain", "--out", "out", cwd=tmp_path)
    assert result.returncode == 2
    assert "expected a new or empty folder" in result.stderr
