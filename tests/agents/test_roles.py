"""What a topology means for a worker."""

from pathlib import Path

import pytest
from mini_controller import fake_topology

from agents.roles import device_of, dtype_of, make_worker
from protocol.jobs import Role
from seal_runtime.config.agents import TrainerConfig
from seal_runtime.config.topology import ModelConfig, Topology
from seal_runtime.errors import ConfigError
from seal_runtime.store.adapters import AdapterStore


@pytest.mark.parametrize(("role", "capacity"), [("proposer", 16), ("trainer", 4), ("evaluator", 32), ("critic", 1)])
def test_each_role_has_the_capacity_that_its_topology_gives(role: Role, capacity: int, tmp_path: Path) -> None:
    worker = make_worker(role, fake_topology(), store=AdapterStore(tmp_path), gpus=())
    assert worker.capacity == capacity
    assert not worker.must_step
    worker.close()
    worker.close()


def test_gpus_of_the_command_line_or_the_topology_mean_cuda() -> None:
    topology = Topology(trainer=TrainerConfig(gpus=(0, 1), count=2))
    assert [device_of("trainer", topology, ()), device_of("evaluator", topology, ()), device_of("evaluator", topology, (3,))] == [
        "cuda",
        "cpu",
        "cuda",
    ]


def test_auto_precision_depends_on_the_device() -> None:
    assert [dtype_of(Topology(), "cpu"), dtype_of(Topology(), "cuda")] == ["float32", "bfloat16"]
    assert dtype_of(Topology(model=ModelConfig(dtype="float16")), "cpu") == "float16"


def test_a_model_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    topology = Topology(model=ModelConfig(path=str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="nowhere"):
        make_worker("trainer", topology, store=AdapterStore(tmp_path), gpus=())
