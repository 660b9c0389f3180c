"""Where an agent's log lines go when it cannot write in the run's directory: to the controller, over the channels that it has anyway."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from protocol.channel import AgentChannel
from protocol.log_shipping import LogShipper
from protocol.messages import Welcome

_NONCE_PATH = Path("adapters", ".nonce")


def writes_in_run(log_file: Path | None, welcome: Welcome) -> bool:
    """Say whether the log file lies in `logs` of the very run directory: the nonce beside it reads as the Welcome says."""
    if log_file is None or log_file.parent.name != "logs":
        return False
    try:
        return (log_file.parent.parent / _NONCE_PATH).read_text(encoding="utf-8").strip() == welcome.store_nonce
    except (OSError, UnicodeDecodeError):
        return False


def ship_logs(agents: Sequence[str], channels: Sequence[AgentChannel]) -> Callable[[str], None]:
    """Return what takes a process's log lines; each role's own go over its own channel, those of the whole process over the first."""
    shippers = {agent: LogShipper() for agent in agents}
    for shipper, channel in zip(shippers.values(), channels, strict=True):
        channel.ship(shipper)
    first = shippers[agents[0]]
    if len(agents) == 1:
        return first.put
    return lambda line: shippers.get(json.loads(line).get("agent", ""), first).put(line)
