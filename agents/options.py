"""What an agent is told on its command line."""

from dataclasses import dataclass
from pathlib import Path

from protocol.jobs import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """See `python -m agents --help`. `gpus` empty: the topology decides; `store_dir` or `log_dir` None: found at the Welcome.

    `names` has one for each of `roles`, "" where the controller chooses.
    """

    roles: tuple[Role, ...]
    connection_file: Path
    names: tuple[str, ...]
    gpus: tuple[int, ...]
    store_dir: Path | None
    log_dir: Path | None
    console: bool
    controller_timeout_seconds: float
    handle_interrupt: bool

    @property
    def role_text(self) -> str:
        """Return the roles as the command line has them."""
        return "+".join(self.roles)
