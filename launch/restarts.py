"""When to start a process again after it died. Pure; the caller gives the time."""

from dataclasses import dataclass

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class RestartBudget:
    """How often one process may be started again. Each death doubles the wait before the next start."""

    max_restarts: int
    first_delay_seconds: float = FIRST_DELAY_SECONDS
    deaths: int = 0

    def next_delay(self) -> float | None:
        """Count a death; return the seconds to wait before the next start, or None when the budget is spent."""
        self.deaths += 1
        if self.deaths > self.max_restarts:
            return None
        return float(min(LONGEST_DELAY_SECONDS, self.first_delay_seconds * 2 ** (self.deaths - 1)))
