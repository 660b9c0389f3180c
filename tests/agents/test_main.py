"""The command line: devices before torch, the tie to the parent, whose packages these are."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents import environment
from agents.__main__ import main
from agents.errors import AgentError, reason
from agents.job_fields import job_fields

ROOT = Path(__file__).resolve().parent.parent.parent

_PROBE = """
import os, sys
from agents import __main__ as program, environment
seen = []
pin = environment.pin_devices
def probe(gpus):
    seen.append("torch" in sys.modules)
    pin(gpus)
    seen.append("torch" in sys.modules)
environment.pin_devices = probe
code = program.main(["trainer", "--connection", "/nonexistent/connection.json", "--controller-timeout", "0", *sys.argv[1:]])
print(code, seen, os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER"), os.environ["TOKENIZERS_PARALLELISM"])
"""


def probe(*arguments: str, **environ: str) -> str:
    base = {name: value for name, value in os.environ.items() if not name.startswith("CUDA")}
    command = [sys.executable, "-c", _PROBE, *arguments]
    result = subprocess.run(command, cwd=ROOT, env={**base, **environ}, capture_output=True, text=True, timeout=60, check=True)
    return result.stdout.strip()


def test_gpus_are_pinned_before_torch_is_imported() -> None:
    assert probe("--gpu", "3") == "1 [False, False] 3 PCI_BUS_ID false"
    assert probe("--gpu", "4,2") == "1 [False, False] 4,2 PCI_BUS_ID false"


def test_without_gpus_the_environment_is_left_alone() -> None:
    assert probe() == "1 [False, False] None None false"
    assert probe(CUDA_VISIBLE_DEVICES="5") == "1 [False, False] 5 None false"


def test_devices_cannot_be_pinned_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", os)
    with pytest.raises(AssertionError, match="before torch"):
        environment.pin_devices((0,))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["trainer"], "--connection"),
        (["painter", "--connection", "x"], "invalid choice: 'painter'"),
        (["trainer+evaluator", "--connection", "x"], "only proposer+evaluator share a process, got 'trainer+evaluator'"),
        (["trainer", "--connection", "x", "--gpu", "zero"], "device numbers such as 0 or 0,1, got 'zero'"),
        (["trainer", "--connection", "x", "--gpu", "1,1"], "different device numbers"),
        (["trainer", "--connection", "x", "--gpu=-1"], "different device numbers"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_two_roles_need_two_names(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "pin_devices", lambda gpus: None)
    assert main(["proposer+evaluator", "--connection", "x", "--name", "one"]) == 2
    assert "--name with 2 names joined by +" in capsys.readouterr().err


def test_our_packages_are_ours() -> None:
    environment.check_packages()


def test_a_stranger_of_the_same_name_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "__init__.py").touch()
    stranger = importlib.util.spec_from_file_location("launch", tmp_path / "launch" / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: stranger if name == "launch" else real(name))
    with pytest.raises(AgentError, match=r"package `launch` .* another distribution uses the name"):
        environment.check_packages()


def test_an_agent_dies_with_its_parent() -> None:
    agent = "from agents import environment; import time; environment.die_with_parent(); print('up', flush=True); time.sleep(600)"
    parent = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {agent!r}]); print(child.pid, flush=True); child.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert sorted(process.stdout.readline().strip() == "up" for _ in range(2)) == [False, True]
    process.kill()
    process.wait()
    # The pipe ends when the last of its writers, the agent, is gone.
    assert process.stdout.read() == ""
    process.stdout.close()


def test_failures_say_what_to_do() -> None:
    assert reason(OSError(28, "No space left on device")).startswith("disk full: free space")
    assert reason(MemoryError()).startswith("out of memory: lower")
    assert reason(type("OutOfMemoryError", (RuntimeError,), {})("CUDA")).startswith("out of memory: lower")
    assert reason(KeyError("x")) == "'x'"
    assert len(reason(ValueError("x" * 10_000))) < 2100


def test_log_fields_follow_the_job_id() -> None:
    assert job_fields("round-12/c/e0/r0/adapt", 2) == {"job": "round-12/c/e0/r0/adapt", "attempt": 2, "study": "round-12", "round": 12}
    assert job_fields("heldout-v1/c/propose", 1) == {"job": "heldout-v1/c/propose", "attempt": 1, "study": "heldout-v1"}
