"""What a tracker is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from seal_runtime.metrics.records import Scalars


class Tracker(Protocol):
    """A place where figures go. Its library is loaded when it is made; whatever it raises ends this tracker, not the others."""

    def write(self, scalars: Scalars) -> None:
        """Send the figures of one study."""

    def close(self) -> None:
        """Send what is still here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """What trackers know of a run. `folder` is theirs; `known_id` is what the library called the run last time, "" the first time."""

    name: str
    folder: Path
    settings: dict[str, Any]
    known_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A tracker at work, and the name by which its library knows the run again ("" where it needs none)."""

    tracker: Tracker
    run_id: str


def flat_settings(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings with dotted names, as in trainer.lora.rank."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat
