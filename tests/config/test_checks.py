"""Checks before a start: GPUs, engines, models, data, bus; every problem named, nothing heavy imported."""

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seal_runtime.config.checks import check_topology
from seal_runtime.config.engine_sharing import engine_settings
from seal_runtime.config.loading import load_topology
from seal_runtime.config.topology import Topology
from seal_runtime.errors import ConfigError
from seal_runtime.models import builtin_model_path

Make = Callable[..., Topology]

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _plain_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start in the repository, with an empty hub cache and no GPU."""
    monkeypatch.chdir(ROOT)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))


@pytest.fixture
def topology(tmp_path: Path) -> Make:
    def _topology(*overrides: str) -> Topology:
        path = tmp_path / "run.yaml"
        path.write_text("run: {name: x}\ntrainer: {optim: {max_length: 256}}\nalgorithm: {optim: {max_length: 256}}\n")
        return load_topology(path, overrides)

    return _topology


def install_nvidia_smi(tmp_path: Path, num_gpus: int) -> None:
    script = tmp_path / "bin" / "nvidia-smi"
    lines = "\n".join(f"echo 'GPU {index}: NVIDIA X (UUID: GPU-{index})'; echo '  MIG 1g: (UUID: M)'" for index in range(num_gpus))
    script.write_text(f"#!/bin/sh\n{lines}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def errors_of(topology: Topology, *, require_gpus: bool = True) -> str:
    with pytest.raises(ConfigError) as caught:
        check_topology(topology, require_gpus=require_gpus)
    return str(caught.value)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topology = load_topology(path)
    if path.stem == "arc-llama-1b":
        # Its files are the published code's: stand-ins of their names lie where it is launched.
        monkeypatch.chdir(tmp_path)
        (tmp_path / "data").mkdir()
        for name, file in topology.task.arc.model_dump().items():
            if name.endswith(("challenges", "solutions")):
                (tmp_path / file).write_text("{}")
    check_topology(topology, require_gpus=False)


@pytest.mark.parametrize("name", ["quickstart", "squad-cpu", "my-task"])
def test_cpu_examples_start_on_a_machine_without_gpu(name: str) -> None:
    warnings = check_topology(load_topology(ROOT / "examples" / f"{name}.yaml"), require_gpus=True)
    assert all(warning.startswith("evaluation.num_contexts") for warning in warnings)


def test_the_quickstart_has_no_warning() -> None:
    assert check_topology(load_topology(ROOT / "examples" / "quickstart.yaml"), require_gpus=True) == []


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("trainer.count=2", "trainer.gpus=[0]"), "trainer.gpus: expected 2 or more device indices"),
        (("trainer.count=2", "trainer.gpus=[0, 1]", "trainer.gpus_per_agent=2"), "expected 4 or more device indices"),
        (("trainer.gpus=[-1]",), "trainer.gpus: expected device indices from 0, got [-1]"),
        (("trainer.count=2", "trainer.gpus=[1, 1]"), "got [1] more than once"),
        (("trainer.gpus=[3]",), "expected devices that exist, got [3]; this machine has 0, 1"),
    ],
)
def test_impossible_gpus_are_errors(topology: Make, tmp_path: Path, overrides: tuple[str, ...], expected: str) -> None:
    install_nvidia_smi(tmp_path, 2)
    assert expected in errors_of(topology(*overrides))


def test_gpus_that_exist_are_accepted_and_may_be_shared_by_roles(topology: Make, tmp_path: Path) -> None:
    install_nvidia_smi(tmp_path, 2)
    check_topology(topology("trainer.count=2", "trainer.gpus=[0, 1]", "proposer.gpus=[0]"), require_gpus=True)


def test_spare_gpus_are_kept_for_scaling(topology: Make, tmp_path: Path) -> None:
    install_nvidia_smi(tmp_path, 2)
    warnings = check_topology(topology("trainer.gpus=[0, 1]"), require_gpus=True)
    assert any("nothing runs on [1] at the start; `seal-runtime scale trainer=N`" in warning for warning in warnings)


def test_missing_gpus_are_warnings_for_another_machine(topology: Make) -> None:
    wanted = topology("trainer.gpus=[0]")
    assert "this machine has none" in errors_of(wanted)
    assert any("this machine has none" in warning for warning in check_topology(wanted, require_gpus=False))


def test_missing_vllm_says_how_to_install(topology: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seal_runtime.config.agent_checks.is_installed", lambda _: False)
    assert "pip install 'seal-runtime[vllm]'" in errors_of(topology("proposer.engine=vllm"))


def test_vllm_engines_that_do_not_fit_on_one_gpu_are_refused(topology: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("seal_runtime.config.agent_checks.is_installed", lambda _: True)
    install_nvidia_smi(tmp_path, 1)
    both = ("proposer.engine=vllm", "evaluator.engine=vllm", "proposer.gpus=[0]", "evaluator.gpus=[0]")
    assert "at most 1.0 of its memory together, got 1.80" in errors_of(topology(*both))
    shares = ("proposer.engine_args.gpu_memory_utilization=0.44", "evaluator.engine_args.gpu_memory_utilization=0.44")
    check_topology(topology(*both, *shares), require_gpus=True)


SHARED = ("evaluator.share_engine=true", "proposer.engine=vllm", "evaluator.engine=vllm")


def test_a_shared_engine_counts_once_and_takes_the_devices_of_the_proposer(
    topology: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("seal_runtime.config.agent_checks.is_installed", lambda _: True)
    install_nvidia_smi(tmp_path, 2)
    assert check_topology(topology(*SHARED, "proposer.gpus=[0]"), require_gpus=True) == []
    check_topology(topology(*SHARED, "proposer.gpus=[0]", "evaluator.gpus=[0]"), require_gpus=True)
    merged = engine_settings(
        topology(*SHARED, "proposer.engine_args={max_model_len: 8, seed: 1}", "evaluator.engine_args={max_loras: 4, seed: 1}"),
        ("proposer", "evaluator"),
    )
    assert merged.args == {"max_model_len": 8, "seed": 1, "max_loras": 4}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("proposer.engine=transformers",), "evaluator.engine: expected transformers, as proposer.engine"),
        (("proposer.count=2",), "evaluator.count: expected 2, as proposer.count"),
        (("proposer.gpus=[0]", "evaluator.gpus=[1]"), "evaluator.gpus: expected none or [0]"),
        (("proposer.engine_args={max_model_len: 8}", "evaluator.engine_args={max_model_len: 4}"), "max_model_len: expected 8"),
        (("proposer.engine_args={enable_lora: false}",), "proposer.engine_args.enable_lora: expected true or nothing"),
        (("proposer.engine_mode=async", "evaluator.engine_mode=in-process"), "evaluator.engine_mode: expected async"),
    ],
)
def test_roles_that_cannot_share_an_engine_say_why(
    topology: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, overrides: tuple[str, ...], expected: str
) -> None:
    monkeypatch.setattr("seal_runtime.config.agent_checks.is_installed", lambda _: True)
    install_nvidia_smi(tmp_path, 2)
    assert expected in errors_of(topology(*SHARED, *overrides))


def test_role_without_agent_is_a_warning(topology: Make) -> None:
    assert any("seal-runtime attach evaluator" in warning for warning in check_topology(topology("evaluator.count=0"), require_gpus=True))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("builtin:seal-tinny", "did you mean 'seal-tiny'"),
        ("./nowhere", "expected a model folder at nowhere, found none"),
        ("/nowhere/at/all", "found none"),
        ("two words", "expected builtin:NAME"),
        ("a/b/c", "expected builtin:NAME"),
    ],
)
def test_missing_model_is_an_error(topology: Make, path: str, expected: str) -> None:
    assert expected in errors_of(topology(f"model.path={path}"))


def test_incomplete_model_folder_names_what_is_missing(topology: Make, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    assert "it lacks config.json and weights (*.safetensors) and a tokenizer" in errors_of(topology(f"model.path={folder}"))
    shutil.copytree(builtin_model_path("seal-tiny"), folder, dirs_exist_ok=True)
    assert check_topology(topology(f"model.path={folder}"), require_gpus=True) == []
    (folder / "config.json").write_text("{")
    assert "expected JSON in" in errors_of(topology(f"model.path={folder}"))


def test_hub_model_offline_without_cache_is_an_error(topology: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = topology("model.path=org/name")
    assert any("it is downloaded" in warning for warning in check_topology(wanted, require_gpus=True))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "expected org/name in the hub cache, because HF_HUB_OFFLINE is set" in errors_of(wanted)


def test_cached_hub_model_is_found_and_checked(topology: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repository = tmp_path / "hf" / "hub" / "models--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    warnings = check_topology(topology("model.path=org/name"), require_gpus=True)
    assert any("128 new tokens leave no room" in warning for warning in warnings)


def test_lengths_beyond_the_context_are_warnings(topology: Make) -> None:
    warnings = "\n".join(
        check_topology(topology("trainer.optim.max_length=4096", "proposer.sampling.max_new_tokens=512"), require_gpus=True)
    )
    assert "trainer.optim.max_length: 4096 tokens are more than the model's context, 512" in warnings
    assert "proposer.sampling.max_new_tokens: 512 new tokens leave no room for a prompt" in warnings


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("[q_porj]", "expected modules of the model, got 'q_porj'; did you mean q_proj?"),
        ("['']", "expected module names such as q_proj, got ['']"),
        ("[q_proj, q_proj]", "q_proj more than once"),
    ],
)
def test_wrong_lora_targets_are_errors(topology: Make, targets: str, expected: str) -> None:
    assert expected in errors_of(topology(f"trainer.lora.targets={targets}"))
    assert expected in errors_of(topology(f"algorithm.lora.targets={targets}"))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("task.name=squad",), "task.data: expected a file or a hub data set"),
        (("task.name=squad", "task.data=missing.json"), "expected a file at missing.json, found none"),
        (("task.name=squad", "task.data=./examples"), "found a folder"),
        (("task.name=squad", "task.data=what is this"), "or a hub data set"),
        (("task.data=x.json",), "only task squad reads it"),
        (("task.arc.max_steps=9",), "task.arc: expected nothing, because only task arc reads it"),
        (("task.name=arc",), "task.arc.training_challenges: expected a JSON file of ARC tasks"),
        (("task.name=arc", "task.arc.training_challenges=missing.json"), "expected a file at missing.json, found none"),
        (("task.name=arc", "task.arc.training_solutions=./examples"), "task.arc.training_solutions: expected a file at examples, found a"),
        (("task.name=arc",), "task.arc.evaluation_challenges: expected a JSON file of ARC tasks for evaluation.split test"),
        (("task.name=arc", "evaluation.split=validation", "task.arc.num_validation=0"), "num_validation: expected at least 1"),
        (("task.name=arc", "task.options={a: 1}"), "expected none for the built-in task arc"),
        (("task.options={a: 1}",), "expected none for the built-in task fictional"),
        (("task.name=sqaud",), "did you mean squad?"),
        (("task.name=no_such_module:Task",), "expected an importable module"),
        (("task.name=examples.my_task:RoomTsk",), "did you mean RoomTask?"),
    ],
)
def test_wrong_task_is_an_error(topology: Make, overrides: tuple[str, ...], expected: str) -> None:
    assert expected in errors_of(topology(*overrides))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("bus.bind=127.0.0.1:5599",), "expected tcp://HOST:PORT"),
        (("bus.bind=tcp://127.0.0.1",), "expected tcp://HOST:PORT"),
        (("bus.bind=tcp://127.0.0.1:70000",), "port up to 65535"),
        (("bus.bind=ipc://" + "x" * 200,), "path of 1 to 107 bytes, got 200"),
        (("bus.bind=tcp://0.0.0.0:5599", "bus.curve=false"), "bus.curve: expected true"),
        (("bus.bind=tcp://[fe80::1]:5599", "bus.curve=false"), "bus.curve: expected true"),
        (("bus.heartbeat_seconds=10",), "expected at least 3 heartbeats"),
    ],
)
def test_wrong_bus_is_an_error(topology: Make, overrides: tuple[str, ...], expected: str) -> None:
    assert expected in errors_of(topology(*overrides))


@pytest.mark.parametrize("bind", ["tcp://localhost:0", "tcp://127.0.0.5:1", "tcp://[::1]:0", "ipc:///tmp/x"])
def test_loopback_may_go_without_curve(topology: Make, bind: str) -> None:
    assert check_topology(topology(f"bus.bind={bind}", "bus.curve=false"), require_gpus=True) == []


def test_settings_that_cannot_learn_are_warnings(topology: Make) -> None:
    warnings = "\n".join(check_topology(topology("algorithm.edits_per_context=1", "evaluation.num_contexts=4"), require_gpus=True))
    assert "nothing is selected" in warnings
    assert "wide error bars" in warnings
    assert any("greedy" in warning for warning in check_topology(topology("proposer.sampling.temperature=0"), require_gpus=True))


def test_all_problems_are_listed_at_once(topology: Make) -> None:
    message = errors_of(topology("trainer.gpus=[-1]", "model.path=builtin:x", "bus.bind=x", "task.name=squad"))
    assert message.startswith("run x: 4 problems")


def test_checks_import_no_heavy_library() -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from seal_runtime.config.checks import check_topology\nfrom seal_runtime.config.loading import load_topology\n"
        "check_topology(load_topology(Path('examples/quickstart.yaml')), require_gpus=True)\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'huggingface_hub', 'numpy') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
