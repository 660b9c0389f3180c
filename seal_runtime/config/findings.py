"""What checks find: errors that stop a run before it starts, and warnings that do not."""

from dataclasses import dataclass, field

from seal_runtime.config.problems import Problem


@dataclass(slots=True, kw_only=True)
class Findings:
    """A list that several checks write into."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, key: str, message: str) -> None:
        """Note that a key cannot stay as it is."""
        self.errors.append(Problem(key=key, message=message))

    def warn(self, key: str, message: str) -> None:
        """Note that a key may not do what its author expects."""
        self.warnings.append(f"{key}: {message}")

    def machine(self, key: str, message: str, *, required: bool) -> None:
        """Note what this machine lacks: an error when the run shall start here, else a warning."""
        if required:
            self.error(key, message)
        else:
            self.warn(key, message)
