"""Turn a topology into the command lines of its processes. Pure: nothing starts here.

Invariant: a process sees exactly the devices of its section. They are pinned twice, in the environment before the process
starts and by `--gpu`, so that a command line copied out of a log does the same on its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protocol.jobs import ROLES, Role
from seal_runtime.config.agents import AgentConfig
from seal_runtime.config.topology import Topology
from seal_runtime.own_modules import import_environment, module_command

CONTROLLER = "controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """One process to start. `env` is laid over the launcher's own environment; `gpus` are device indices as nvidia-smi counts them.

    `also` has the further roles that the process serves.
    """

    name: str
    role: Role | Literal["controller"]
    argv: tuple[str, ...]
    env: dict[str, str]
    gpus: tuple[int, ...]
    also: tuple[Role, ...] = ()

    @property
    def roles(self) -> tuple[Role | Literal["controller"], ...]:
        """Return every role that the process serves."""
        return (self.role, *self.also)


def controller_spec(run_dir: Path) -> AgentSpec:
    """Return the controller's process. It needs neither a GPU nor more than one thread."""
    argv = [*module_command("seal_runtime.controller"), "--run-dir", str(run_dir)]
    return AgentSpec(name=CONTROLLER, role="controller", argv=tuple(argv), env=_environment((), threads=1), gpus=())


def agent_specs(topology: Topology, *, connection: Path, log_dir: Path, counts: Mapping[Role, int] | None = None) -> list[AgentSpec]:
    """Return the agents' processes in the order proposers, trainers, evaluators, critics, named `<role>-<index>`.

    Where evaluators share the proposers' engines, a process `proposer-<index>+evaluator-<index>` serves both roles. `counts` stand above
    those of the topology.
    """
    counts = counts or {role: topology.agents(role).count for role in ROLES}
    specs = []
    for role in ROLES:
        if role == "evaluator" and topology.evaluator.share_engine:
            continue
        specs += [numbered_spec(topology, role, index, slot=index, connection=connection, log_dir=log_dir) for index in range(counts[role])]
    return specs


def numbered_spec(topology: Topology, role: Role, index: int, *, slot: int, connection: Path, log_dir: Path) -> AgentSpec:
    """Return the process `<role>-<index>` on the `slot`-th group of its section's devices."""
    also: tuple[Role, ...] = ("evaluator",) if role == "proposer" and topology.evaluator.share_engine else ()
    name = "+".join(f"{served}-{index}" for served in (role, *also))
    return agent_spec(role, name, topology.agents(role), index=slot, connection=connection, log_dir=log_dir, also=also)


def agent_spec(
    role: Role, name: str, section: AgentConfig, *, index: int, connection: Path, log_dir: Path, also: tuple[Role, ...] = ()
) -> AgentSpec:
    """Return a process of a role on the `index`-th group of devices. It serves `also` besides; `name` has a name for each, joined by +."""
    first = index * section.gpus_per_agent
    gpus = section.gpus[first : first + section.gpus_per_agent]
    roles = "+".join((role, *also))
    argv = [*module_command("agents"), roles, "--connection", str(connection), "--name", name, "--log-dir", str(log_dir)]
    if gpus:
        argv += ["--gpu", device_list(gpus)]
    argv.append("--die-with-parent")
    return AgentSpec(name=name, role=role, argv=tuple(argv), env=_environment(gpus, threads=section.threads), gpus=gpus, also=also)


def device_list(gpus: tuple[int, ...]) -> str:
    """Return the value of CUDA_VISIBLE_DEVICES for these devices; empty hides every device."""
    return ",".join(str(gpu) for gpu in gpus)


def _environment(gpus: tuple[int, ...], *, threads: int) -> dict[str, str]:
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": device_list(gpus),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        **import_environment(),
    }
