"""One engine for proposer and evaluator: which settings it has, and what would keep the two roles apart.

Invariant: what the launcher checks and what an agent does come from here, so that a topology which is accepted also starts.
"""

from dataclasses import dataclass
from typing import Literal

from protocol.jobs import Role
from seal_runtime.config.agents import AgentConfig
from seal_runtime.config.findings import Findings
from seal_runtime.config.problems import config_error
from seal_runtime.config.topology import Topology

EngineMode = Literal["auto", "in-process", "async"]
SHARING_ROLES: tuple[Role, ...] = ("proposer", "evaluator")
"""Roles whose engines generate, in the order in which one process serves them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What a generating engine is made from."""

    engine: str
    mode: EngineMode
    args: dict[str, str | int | float | bool]
    host: AgentConfig
    """The section that says on which devices and with how many threads it runs."""


def engine_settings(topology: Topology, roles: tuple[Role, ...]) -> EngineSettings:
    """Return the settings of the engine that serves these roles in one process.

    Where the topology shares engines, each of the two roles has the merged settings, also when it is alone. Raises ConfigError when the
    settings of two roles contradict each other.
    """
    if len(roles) == 1 and not topology.evaluator.share_engine:
        section = topology.proposer if roles[0] == "proposer" else topology.evaluator
        return EngineSettings(engine=section.engine, mode=section.engine_mode, args=dict(section.engine_args), host=section)
    findings = Findings()
    check_one_engine(topology, findings)
    if findings.errors:
        raise config_error(f"run {topology.run.name}", findings.errors)
    proposer, evaluator = topology.proposer, topology.evaluator
    mode = evaluator.engine_mode if proposer.engine_mode == "auto" else proposer.engine_mode
    return EngineSettings(engine=proposer.engine, mode=mode, args={**proposer.engine_args, **evaluator.engine_args}, host=proposer)


def host_section(topology: Topology, role: Role) -> AgentConfig:
    """Return the section that says where a role's processes run: the proposer's for an evaluator that shares its engine."""
    return topology.proposer if role == "evaluator" and topology.evaluator.share_engine else topology.agents(role)


def check_sharing(topology: Topology, findings: Findings) -> None:
    """Check a topology that shares engines: the two sections must describe the same processes."""
    proposer, evaluator = topology.proposer, topology.evaluator
    if not evaluator.share_engine:
        return
    if evaluator.count != proposer.count:
        findings.error(
            "evaluator.count", f"expected {proposer.count}, as proposer.count, because each process serves both, got {evaluator.count}"
        )
    if evaluator.gpus and (evaluator.gpus, evaluator.gpus_per_agent) != (proposer.gpus, proposer.gpus_per_agent):
        findings.error(
            "evaluator.gpus", f"expected none or {list(proposer.gpus)}, as proposer.gpus, because they share, got {list(evaluator.gpus)}"
        )
    check_one_engine(topology, findings)


def check_one_engine(topology: Topology, findings: Findings) -> None:
    """Find what keeps one engine from being both the proposer's and the evaluator's."""
    proposer, evaluator = topology.proposer, topology.evaluator
    if evaluator.engine != proposer.engine:
        findings.error("evaluator.engine", f"expected {proposer.engine}, as proposer.engine, to share one, got {evaluator.engine}")
    if "auto" not in (proposer.engine_mode, evaluator.engine_mode) and proposer.engine_mode != evaluator.engine_mode:
        findings.error("evaluator.engine_mode", f"expected {proposer.engine_mode}, as the proposer's, or auto, got {evaluator.engine_mode}")
    for name in sorted(proposer.engine_args.keys() & evaluator.engine_args.keys()):
        mine, other = evaluator.engine_args[name], proposer.engine_args[name]
        if mine != other:
            findings.error(
                f"evaluator.engine_args.{name}", f"expected {other}, as the proposer has it, because they share one engine, got {mine}"
            )
    for role, section in (("proposer", proposer), ("evaluator", evaluator)):
        if proposer.engine == "vllm" and section.engine_args.get("enable_lora", True) is False:
            findings.error(f"{role}.engine_args.enable_lora", "expected true or nothing, because the evaluator needs adapters, got false")
