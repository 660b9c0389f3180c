"""Check the agents of a topology: counts, GPUs and installed engines."""

from collections import defaultdict

from protocol.jobs import ROLES, Role
from seal_runtime.config.agents import EvaluatorConfig, ProposerConfig
from seal_runtime.config.engine_sharing import check_sharing
from seal_runtime.config.findings import Findings
from seal_runtime.config.machine import gpu_indices, is_installed
from seal_runtime.config.topology import Topology

VLLM_DEFAULT_MEMORY_SHARE = 0.9
"""vLLM's default of gpu_memory_utilization."""


def check_agents(topology: Topology, findings: Findings, *, require_gpus: bool) -> None:
    """Check every role; what only this machine lacks is an error only with `require_gpus`."""
    for role in ROLES:
        _check_role(topology, role, findings)
    check_sharing(topology, findings)
    _check_gpus_exist(topology, findings, required=require_gpus)
    _check_vllm(topology, findings, required=require_gpus)


def _check_role(topology: Topology, role: Role, findings: Findings) -> None:
    agents = topology.agents(role)
    if agents.count == 0:
        findings.warn(f"{role}.count", f"0 started here; jobs wait until one joins with `seal-runtime attach {role}`")
    needed = agents.count * agents.gpus_per_agent
    if agents.gpus and len(agents.gpus) < needed:
        findings.error(
            f"{role}.gpus",
            f"expected {needed} or more device indices (count {agents.count} x gpus_per_agent {agents.gpus_per_agent}) or none for CPU, "
            f"got {len(agents.gpus)}: {list(agents.gpus)}",
        )
    elif agents.gpus and len(agents.gpus) > needed:
        spare = list(agents.gpus[needed:])
        findings.warn(f"{role}.gpus", f"nothing runs on {spare} at the start; `seal-runtime scale {role}=N` uses them")
    negative = [index for index in agents.gpus if index < 0]
    if negative:
        findings.error(f"{role}.gpus", f"expected device indices from 0, got {negative}")
    twice = sorted({index for index in agents.gpus if agents.gpus.count(index) > 1})
    if twice:
        findings.error(f"{role}.gpus", f"expected each device once, got {twice} more than once; give every process its own")
    if role == "critic" and agents.gpus:
        findings.warn("critic.gpus", "the critic computes on CPU; the device stays unused")
    if agents.gpus_per_agent > 1 and not _is_vllm(topology, role):
        findings.warn(
            f"{role}.gpus_per_agent", f"only engine vllm spreads one process over devices; this one uses 1 of {agents.gpus_per_agent}"
        )


def _check_gpus_exist(topology: Topology, findings: Findings, *, required: bool) -> None:
    asked = {role: [index for index in topology.agents(role).gpus if index >= 0] for role in ROLES}
    if not any(asked.values()):
        return
    present = gpu_indices()
    have = f"this machine has {', '.join(map(str, present))}" if present else "this machine has none (nvidia-smi lists no GPU)"
    for role, indices in asked.items():
        missing = sorted(set(indices) - set(present))
        if missing:
            findings.machine(f"{role}.gpus", f"expected devices that exist, got {missing}; {have}", required=required)


def _check_vllm(topology: Topology, findings: Findings, *, required: bool) -> None:
    shares: dict[int, float] = defaultdict(float)
    for role, agents in _vllm_sections(topology).items():
        if role == "evaluator" and topology.evaluator.share_engine:
            continue  # it has the proposer's engine
        if agents.count and not is_installed("vllm"):
            message = "engine vllm is not installed; pip install 'seal-runtime[vllm]', or set engine to transformers"
            findings.machine(f"{role}.engine", message, required=required)
        if agents.count and not agents.gpus:
            findings.warn(f"{role}.gpus", "engine vllm without a GPU needs a CPU build of vllm and is slow; name devices in gpus")
        share = _memory_share(topology, role, agents)
        for index in agents.gpus:
            shares[index] += share
    for index, share in sorted(shares.items()):
        if share > 1.0:
            findings.error(
                "engine_args.gpu_memory_utilization",
                f"expected the vllm agents on GPU {index} to ask for at most 1.0 of its memory together, got {share:.2f}; "
                f"the default is {VLLM_DEFAULT_MEMORY_SHARE} each: set evaluator.share_engine, or both to 0.44, for example",
            )


def _memory_share(topology: Topology, role: Role, agents: ProposerConfig | EvaluatorConfig) -> float:
    args = dict(agents.engine_args)
    if role == "proposer" and topology.evaluator.share_engine:
        args |= topology.evaluator.engine_args
    share = args.get("gpu_memory_utilization", VLLM_DEFAULT_MEMORY_SHARE)
    return float(share) if isinstance(share, int | float) else 0.0


def _is_vllm(topology: Topology, role: Role) -> bool:
    return role in _vllm_sections(topology)


def _vllm_sections(topology: Topology) -> dict[Role, ProposerConfig | EvaluatorConfig]:
    sections: dict[Role, ProposerConfig | EvaluatorConfig] = {"proposer": topology.proposer, "evaluator": topology.evaluator}
    return {role: section for role, section in sections.items() if section.engine == "vllm"}
