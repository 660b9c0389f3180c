"""When an engine that serves one policy at a time goes over to another. Pure; the caller gives the time.

A change of policy costs a fold (seconds for a large model) and drains the batch, so the served policy keeps its turn while it has
requests; but nobody waits much longer than a few folds take. Invariant: whoever waits gets a turn after a bounded time, whatever else
is submitted meanwhile.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

PATIENCE_SECONDS = 0.5
PATIENCE_FOLDS = 5.0
"""The longest wait of the others is so many times the last fold, so that folding takes a fifth of the time at most."""

_Policy = TypeVar("_Policy", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Generic[_Policy]):
    """A request that waits for its policy since a time."""

    policy: _Policy
    since: float


def next_policy(served: _Policy, waiting: Sequence[Waiting[_Policy]], *, busy: bool, fold_seconds: float, now: float) -> _Policy | None:
    """Return the policy whose requests may begin now; None while those at work must end first, or when nothing waits.

    `busy` says that requests of the served policy are at work; `fold_seconds` is what the last change took.
    """
    patience = max(PATIENCE_SECONDS, PATIENCE_FOLDS * fold_seconds)
    others = [entry for entry in waiting if entry.policy != served]
    longest = min(others, key=lambda entry: entry.since, default=None)
    is_overdue = longest is not None and now - longest.since >= patience
    if len(others) < len(waiting) and not is_overdue:
        return served
    return None if busy or longest is None else longest.policy
