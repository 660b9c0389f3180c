"""To how many agents of a role a live run can be scaled: what its topology leaves room for."""

from protocol.jobs import Role
from seal_runtime.config.engine_sharing import host_section
from seal_runtime.config.topology import Topology

MAX_AGENTS = 4096
"""As the `count` of a role's section."""


def agents_that_fit(topology: Topology, role: Role) -> int | None:
    """Return how many agents of a role have devices in the topology; None on CPU, where there is no such limit."""
    section = host_section(topology, role)
    return len(section.gpus) // section.gpus_per_agent if section.gpus else None


def scale_problem(topology: Topology, role: Role, count: int) -> str | None:
    """Say why the launcher cannot keep `count` agents of a role; None when it can."""
    if role == "evaluator" and topology.evaluator.share_engine:
        return f"each process serves proposer and evaluator here (evaluator.share_engine): scale proposer={count} instead"
    if not 0 <= count <= MAX_AGENTS:
        return f"expected 0 to {MAX_AGENTS} agents, got {role}={count}"
    fitting, section = agents_that_fit(topology, role), host_section(topology, role)
    if fitting is not None and count > fitting:
        return (
            f"{role}={count} does not fit: {role}.gpus is {list(section.gpus)} with {section.gpus_per_agent} for each agent, "
            f"so {fitting} fit; on other devices `seal-runtime attach {role} --gpu N` starts one more"
        )
    return None
