"""What the critic made of a self-edit: its place among the edits of its context, and whether the policy learned from it."""

from protocol.jobs import CreditJob, CreditResult, ScoredEdit
from seal_runtime.config.topology import Topology
from seal_runtime.ledger.records import ResultRow
from seal_runtime.story.find import EditId
from seal_runtime.story.model import Credit, Rival

_RULES = {
    "best": "the best edit of each context",
    "improved": "every edit that improved on no edit",
    "random": "one edit of each context, drawn at random (the control)",
}


def credit_of(row: ResultRow | None, edit: EditId, topology: Topology) -> Credit | None:
    """Return the credit of an edit, None before the round's credit or when the critic never heard of its context."""
    if row is None:
        return None
    assert isinstance(row.job, CreditJob)
    assert isinstance(row.result, CreditResult)
    group = next((group for group in row.job.groups if group.context_id == edit.context_id), None)
    weights = {credit.edit_index: credit.weight for credit in row.result.credits if credit.context_id == edit.context_id}
    rewards = {scored.edit_index: _mean(scored) for scored in group.edits} if group is not None else {}
    for credit in row.result.credits:
        if credit.context_id == edit.context_id:
            rewards[credit.edit_index] = credit.reward
    if not rewards:
        return None
    own = rewards.get(edit.edit_index)
    measured = [reward for reward in rewards.values() if reward is not None]
    return Credit(
        rule=_RULES.get(topology.algorithm.select, topology.algorithm.select),
        reward=own,
        weight=weights.get(edit.edit_index),
        rank=1 + sum(reward > own for reward in measured) if own is not None else None,
        num_ranked=len(measured),
        baseline=group.baseline if group is not None else None,
        num_selected=sum(credit.weight != 0 for credit in row.result.credits),
        rivals=tuple(Rival(edit_index=index, reward=rewards[index], weight=weights.get(index)) for index in sorted(rewards)),
    )


def _mean(scored: ScoredEdit) -> float | None:
    return sum(scored.rewards) / len(scored.rewards) if scored.rewards else None
