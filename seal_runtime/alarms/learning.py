"""Alarms about what is learned. Each rule takes the run's points, oldest first, and returns a text or None.

    reward hacking       over the last two steps the reward rose at each and the held-out score fell at each, and both total changes exceed
                         their standard error. By chance alone, three unrelated points are ordered so in 1 of 36 cases, and seldom so far.
    diversity collapse   the share of different self-edits in a context is below 0.6 of the first round's: where five edits a context
                         all differed, fewer than three do, and the choice among them teaches little.
    parse failures       the share of unusable self-edits is at least 0.10 above the lowest earlier round's, and by more than two
                         standard errors of the difference (binomial).
    plateau              the best of the last three held-out scores (rewards where nothing is held out) does not exceed the best before
                         by their standard error. Needs five points, and a score below 0.95: above, there is nothing left to learn.

A standard error that is unknown counts as 0.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from seal_runtime.alarms.points import RoundPoint

HACKING_STEPS = 2
COLLAPSE_SHARE = 0.6
MIN_EDITS = 20
"""Fewer self-edits in a round say nothing about diversity or parse failures."""
RISE_SHARE = 0.10
RISE_STDERRS = 2.0
PLATEAU_ROUNDS = 3
MIN_PLATEAU_POINTS = 5
CEILING = 0.95

Score = tuple[float, float]
"""A score and its standard error."""


def reward_hacking(points: Sequence[RoundPoint]) -> str | None:
    """Say that the reward rises while the held-out score falls."""
    both = [
        ((p.reward, p.reward_stderr or 0.0), (p.heldout, p.heldout_stderr or 0.0))
        for p in points
        if p.reward is not None and p.heldout is not None
    ][-HACKING_STEPS - 1 :]
    if len(both) <= HACKING_STEPS:
        return None
    rewards, heldout = [pair[0] for pair in both], [pair[1] for pair in both]
    if not _rises(rewards) or not _rises([(-score, error) for score, error in heldout]):
        return None
    return (
        f"the reward rose from {_percent(rewards[0][0])} to {_percent(rewards[-1][0])} over the last {HACKING_STEPS} policy versions while "
        f"the held-out score fell from {_percent(heldout[0][0])} to {_percent(heldout[-1][0])}: the policy may exploit the reward"
    )


def diversity_collapse(points: Sequence[RoundPoint]) -> str | None:
    """Say that the self-edits of a context have become alike."""
    shares = [p.unique_share for p in points if p.unique_share is not None and p.num_edits >= MIN_EDITS]
    if len(shares) < 2 or shares[-1] >= COLLAPSE_SHARE * shares[0]:
        return None
    return (
        f"only {_percent(shares[-1])} of a context's self-edits differ, {_percent(shares[0])} in the first round: raise the temperature "
        "or learn from fewer of them"
    )


def parse_failures(points: Sequence[RoundPoint]) -> str | None:
    """Say that more self-edits than before cannot be used."""
    shares = [(p.num_unparsed / p.num_edits, p.num_edits) for p in points if p.num_edits >= MIN_EDITS]
    if len(shares) < 2:
        return None
    (low, low_edits), (last, last_edits) = min(shares[:-1]), shares[-1]
    stderr = math.sqrt(low * (1 - low) / low_edits + last * (1 - last) / last_edits)
    if last - low < max(RISE_SHARE, RISE_STDERRS * stderr):
        return None
    return (
        f"{_percent(last)} of the self-edits could not be parsed, {_percent(low)} in an earlier round: read some with `seal-runtime report`"
    )


def plateau(points: Sequence[RoundPoint]) -> str | None:
    """Say that the last rounds brought nothing."""
    heldout = [(p.heldout, p.heldout_stderr or 0.0) for p in points if p.heldout is not None]
    rewards = [(p.reward, p.reward_stderr or 0.0) for p in points if p.reward is not None]
    name, scores = ("held-out score", heldout) if heldout else ("reward", rewards)
    if len(scores) < MIN_PLATEAU_POINTS:
        return None
    before, recent = max(scores[:-PLATEAU_ROUNDS]), max(scores[-PLATEAU_ROUNDS:])
    if before[0] >= CEILING or recent[0] - before[0] > math.hypot(before[1], recent[1]):
        return None
    return (
        f"the {name} has not risen for {PLATEAU_ROUNDS} policy versions (best {_percent(recent[0])}, before {_percent(before[0])}): "
        "further rounds may bring nothing"
    )


def _rises(scores: Sequence[Score]) -> bool:
    """Say whether each step goes up and the whole way exceeds its standard error."""
    steps_up = all(later[0] > earlier[0] for earlier, later in pairwise(scores))
    return steps_up and scores[-1][0] - scores[0][0] > math.hypot(scores[0][1], scores[-1][1])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
