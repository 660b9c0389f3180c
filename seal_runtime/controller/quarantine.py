"""An agent that fails everything rests, so that it does not eat the jobs' attempts. Pure; acts on the agents' entries alone.

A rest is followed by one job at a time until one succeeds; each rest that another agent can bridge is twice as long as the one before.
The only able agent of its role merely pauses: perhaps its jobs are bad, and a run of bad jobs must come to its end.
"""

from seal_runtime.controller.agents_table import AgentEntry, AgentsTable

FAILURES_BEFORE_REST = 5
"""So many different jobs failed in a row, with no success in between, mean that the agent is at fault."""
FIRST_REST_SECONDS = 15.0
MAX_REST_SECONDS = 600.0
ALONE_REST_SECONDS = 10.0
"""Pause of an agent that nobody can stand in for."""


class Quarantine:
    """Decides who rests and until when."""

    def __init__(self, agents: AgentsTable) -> None:
        self._agents = agents

    def succeeded(self, entry: AgentEntry, now: float) -> bool:
        """Note a success, which clears an agent of everything; say whether it was resting or on probation."""
        was_suspected = entry.is_resting or entry.on_probation
        entry.failed_jobs.clear()
        entry.num_rests, entry.resting_until, entry.on_probation = 0, None, False
        if was_suspected:
            self._agents.update(entry, now)
        return was_suspected

    def failed(self, entry: AgentEntry, job_id: str, reason: str, now: float) -> tuple[str, ...]:
        """Note a failure that another agent might not repeat; return the jobs that the agent is now blamed for, if it must rest."""
        if entry.is_resting:
            return ()  # leased before the rest: no news
        entry.failed_jobs[job_id] = None
        entry.last_failure = reason
        if len(entry.failed_jobs) < FAILURES_BEFORE_REST and not entry.on_probation:
            return ()
        blamed = tuple(entry.failed_jobs)
        entry.failed_jobs.clear()
        if any(other.takes_jobs for other in self._agents.of_role(entry.identity.role) if other is not entry):
            seconds = min(FIRST_REST_SECONDS * 2**entry.num_rests, MAX_REST_SECONDS)
            entry.num_rests += 1
            entry.on_probation = True
        else:
            seconds = ALONE_REST_SECONDS
        entry.resting_until = now + seconds
        self._agents.update(entry, now)
        return blamed

    def tick(self, now: float) -> None:
        """End the rests that are over."""
        for entry in self._agents.all():
            if entry.resting_until is not None and entry.resting_until <= now:
                entry.resting_until = None
                self._agents.update(entry, now)

    def problems(self, now: float) -> list[str]:
        """Return one line for each agent that is not trusted."""
        lines = []
        for entry in self._agents.all():
            what = f"{entry.label} fails every job ({entry.last_failure})"
            if entry.resting_until is not None:
                lines.append(f"{what}; it gets none for {max(0.0, entry.resting_until - now):.0f} s")
            elif entry.on_probation:
                lines.append(f"{what}; it gets one at a time until one succeeds")
        return lines
