from pathlib import Path

from launch.specs import AgentSpec, agent_specs, controller_spec, device_list
from seal_runtime.config.agents import EvaluatorConfig, ProposerConfig, TrainerConfig
from seal_runtime.config.topology import Topology


def specs_of(topology: Topology) -> dict[str, AgentSpec]:
    specs = agent_specs(topology, connection=Path("/runs/x/connection.json"), log_dir=Path("/runs/x/logs"))
    return {spec.name: spec for spec in specs}


def test_agents_are_named_by_role_and_index_in_role_order() -> None:
    names = list(specs_of(Topology(trainer=TrainerConfig(count=2))))
    assert names == ["proposer-0", "trainer-0", "trainer-1", "evaluator-0", "critic-0"]


def test_a_gpu_is_pinned_by_environment_and_argument() -> None:
    specs = specs_of(Topology(trainer=TrainerConfig(count=3, gpus=(2, 5, 7))))
    for name, gpu in (("trainer-0", "2"), ("trainer-1", "5"), ("trainer-2", "7")):
        argv = specs[name].argv
        assert specs[name].env["CUDA_VISIBLE_DEVICES"] == gpu
        assert argv[argv.index("--gpu") + 1] == gpu
        assert specs[name].env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_tensor_parallel_agents_get_their_share_of_the_devices() -> None:
    specs = specs_of(Topology(proposer=ProposerConfig(count=2, gpus=(0, 1, 2, 3), gpus_per_agent=2)))
    assert [specs["proposer-0"].gpus, specs["proposer-1"].gpus] == [(0, 1), (2, 3)]
    assert specs["proposer-1"].env["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_an_agent_without_gpu_sees_none() -> None:
    critic = specs_of(Topology())["critic-0"]
    assert critic.env["CUDA_VISIBLE_DEVICES"] == ""
    assert "--gpu" not in critic.argv


def test_threads_are_bound_before_the_process_starts() -> None:
    trainer = specs_of(Topology(trainer=TrainerConfig(threads=6)))["trainer-0"]
    assert (trainer.env["OMP_NUM_THREADS"], trainer.env["MKL_NUM_THREADS"]) == ("6", "6")


def test_command_line_can_be_typed_by_hand() -> None:
    argv = specs_of(Topology())["proposer-0"].argv
    assert argv[1:5] == ("-P", "-m", "agents", "proposer")
    assert argv[argv.index("--connection") + 1] == "/runs/x/connection.json"
    assert argv[argv.index("--name") + 1] == "proposer-0"
    assert argv[-1] == "--die-with-parent"


def test_one_process_serves_two_roles_where_they_share_an_engine() -> None:
    topology = Topology(proposer=ProposerConfig(count=2, gpus=(4, 6)), evaluator=EvaluatorConfig(count=2, share_engine=True))
    specs = specs_of(topology)
    assert list(specs) == ["proposer-0+evaluator-0", "proposer-1+evaluator-1", "trainer-0", "critic-0"]
    spec = specs["proposer-1+evaluator-1"]
    assert (spec.roles, spec.gpus) == (("proposer", "evaluator"), (6,))
    assert spec.argv[1:5] == ("-P", "-m", "agents", "proposer+evaluator")
    assert spec.argv[spec.argv.index("--name") + 1] == "proposer-1+evaluator-1"


def test_controller_sees_no_gpu() -> None:
    spec = controller_spec(Path("/runs/x"))
    assert spec.argv[1:] == ("-P", "-m", "seal_runtime.controller", "--run-dir", "/runs/x")
    assert spec.env["CUDA_VISIBLE_DEVICES"] == ""


def test_a_role_with_count_zero_starts_nothing() -> None:
    assert "trainer-0" not in specs_of(Topology(trainer=TrainerConfig(count=0)))


def test_device_list_is_what_cuda_reads() -> None:
    assert [device_list(()), device_list((3,)), device_list((0, 4))] == ["", "3", "0,4"]
