"""The commands that gather while one event is handled, in the order in which they were decided."""

from protocol.messages import ToAgent
from seal_runtime.controller.commands import Command, Commit, LogEvent, LogLevel, LogValue, SendTo
from seal_runtime.ledger.records import Record


class Outbox:
    """Shared by the parts of the state machine; `commands` may be appended to."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def commit(self, record: Record) -> None:
        """Have a record written."""
        self.commands.append(Commit(record=record))

    def send(self, agent: str, message: ToAgent) -> None:
        """Have a message sent."""
        self.commands.append(SendTo(agent=agent, message=message))

    def log(self, level: LogLevel, name: str, **fields: LogValue) -> None:
        """Have an event logged."""
        self.commands.append(LogEvent(level=level, name=name, fields=fields))

    def take(self) -> list[Command]:
        """Return what has gathered and begin anew."""
        commands, self.commands = self.commands, []
        return commands
