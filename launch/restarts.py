"""When to start a process again after it died. Pure; the caller gives the time."""

from dataclasses import dataclass

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_LIFE_SECONDS = 1800.0
"""A process that lived so long was not broken: the deaths before are forgotten, so that a long run survives a death now and then."""


@dataclass(slots=True, kw_only=True)
class RestartBudget:
    """How often one process may be started again. Each death doubles the wait before the next start."""

    max_restarts: int
    first_delay_seconds: float = FIRST_DELAY_SECONDS
    deaths: int = 0

    def next_delay(self, lived_seconds: float) -> float | None:
        """Count a death after a life of so long; return the seconds to wait before the next start, or None when the budget is spent."""
        if lived_seconds >= HEALTHY_LIFE_SECONDS:
            self.deaths = 0
        self.deaths += 1
        if self.deaths > self.max_restarts:
            return None
        return float(min(LONGEST_DELAY_SECONDS, self.first_delay_seconds * 2 ** (self.deaths - 1)))
