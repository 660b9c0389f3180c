"""How fast the run goes and how busy its agents are: adds up agent-seconds by role and remembers the last two minutes.

Counts since this controller started; only watches, decides nothing. Invariant: seconds in which this process did not run (a gap between
ticks) count neither as work nor as waiting.
"""

from collections import deque
from dataclasses import dataclass

from protocol.jobs import ROLES, Role
from protocol.status import RoleStatus
from seal_runtime.controller.agents_table import AgentsTable

RECENT_SECONDS = 120.0
SAMPLE_SECONDS = 2.0
MIN_RECENT_SECONDS = 10.0
"""Nothing recent is said before so much time has passed."""
MAX_TICK_GAP_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSeconds:
    """Agent-seconds by role since the controller started: with at least one job, and ready at all."""

    busy: dict[Role, float]
    present: dict[Role, float]

    def since(self, before: "AgentSeconds") -> "AgentSeconds":
        """Return what came after `before`."""
        return AgentSeconds(
            busy={role: self.busy[role] - before.busy[role] for role in ROLES},
            present={role: self.present[role] - before.present[role] for role in ROLES},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    at: float
    num_scored: int
    seconds: AgentSeconds


class Meter:
    """Call `tick` several times a second."""

    def __init__(self) -> None:
        self._busy: dict[Role, float] = dict.fromkeys(ROLES, 0.0)
        self._present: dict[Role, float] = dict.fromkeys(ROLES, 0.0)
        self._last_tick: float | None = None
        self._busy_before: dict[str, float] = {}
        self._samples: deque[_Sample] = deque()

    def tick(self, agents: AgentsTable, num_scored: int, now: float) -> None:
        """Add what has passed since the last tick. `num_scored` self-edits are scored by now."""
        passed = now - self._last_tick if self._last_tick is not None else 0.0
        self._last_tick = now
        busy_now: dict[str, float] = {}
        for entry in agents.all():
            incarnation, role = entry.identity.incarnation, entry.identity.role
            busy_now[incarnation] = entry.busy_seconds_until(now)
            if entry.is_ready and passed <= MAX_TICK_GAP_SECONDS:
                gained = busy_now[incarnation] - self._busy_before.get(incarnation, busy_now[incarnation])
                self._busy[role] += min(passed, max(0.0, gained))
                self._present[role] += passed
        self._busy_before = busy_now
        if not self._samples or now - self._samples[-1].at >= SAMPLE_SECONDS:
            self._samples.append(_Sample(at=now, num_scored=num_scored, seconds=self.seconds()))
            while now - self._samples[0].at > RECENT_SECONDS:
                self._samples.popleft()

    def seconds(self) -> AgentSeconds:
        """Return the sums so far."""
        return AgentSeconds(busy=dict(self._busy), present=dict(self._present))

    def recent_edits_per_hour(self, num_scored: int, now: float) -> float | None:
        """Return the rate over the last two minutes, None while too little has passed."""
        if not self._samples or now - self._samples[0].at < MIN_RECENT_SECONDS:
            return None
        return 3600.0 * (num_scored - self._samples[0].num_scored) / (now - self._samples[0].at)

    def roles(self, agents: AgentsTable) -> tuple[RoleStatus, ...]:
        """Return the sums of every role for observers."""
        recent = self.seconds().since(self._samples[0].seconds) if self._samples else self.seconds()
        return tuple(
            RoleStatus(
                role=role,
                num_agents=len(agents.of_role(role)),
                busy_seconds=self._busy[role],
                present_seconds=self._present[role],
                recent_busy_share=min(1.0, recent.busy[role] / recent.present[role]) if recent.present[role] > 0 else None,
            )
            for role in ROLES
        )
