"""What a step of the workflow leads to."""

from dataclasses import dataclass, field

from seal_runtime.controller.commands import Command, Finish, LogEvent, LogValue
from seal_runtime.controller.work import Work


@dataclass(slots=True)
class Effects:
    """What a step of the workflow leads to: new work and commands, in order."""

    works: list[Work] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    finish: Finish | None = None

    def log(self, name: str, **fields: LogValue) -> None:
        """Add a log event."""
        self.commands.append(LogEvent(level="info", name=name, fields=fields))
