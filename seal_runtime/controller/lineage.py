"""Policy versions, and what a round hands to the critic.

Invariant: version t is its parent's chain plus at most one adapter, and never changes; a reverted policy is an older version.
"""

from protocol.jobs import AdapterRef, CreditGroup, PolicyRef
from seal_runtime.algorithms.statistics import mean
from seal_runtime.controller.commands import Command, Commit, KeepPolicy
from seal_runtime.controller.progress import StudyProgress
from seal_runtime.ledger.records import NOT_APPLICABLE, PolicyRecord

MAX_CREDIT_TOKENS = 400_000
"""A CreditJob must fit a control frame: rounds with more edit tokens go without token ids and log-probabilities (rest-em needs none)."""


class Lineage:
    """The policy versions of a run, all with their chains."""

    def __init__(self) -> None:
        self._policies: list[PolicyRef] = []
        self._held: set[str] = set()

    @property
    def latest(self) -> PolicyRef:
        """Return the newest version."""
        return self._policies[-1]

    def policy(self, version: int) -> PolicyRef:
        """Return a version."""
        return self._policies[version]

    def holds(self, sha256: str) -> bool:
        """Say whether the adapter belongs to a policy version."""
        return sha256 in self._held

    def begin(self) -> list[Command]:
        """Make version 0, the base model."""
        self._policies = [PolicyRef(version=0, chain=())]
        return _records(self.latest, NOT_APPLICABLE, 0, None)

    def advance(self, round_number: int, adapter: AdapterRef | None) -> list[Command]:
        """Make the version of a round; None when the round taught nothing: same chain, new number."""
        parent = self.latest
        assert round_number == parent.version + 1, "rounds follow one another"
        self._policies.append(PolicyRef(version=round_number, chain=(*parent.chain, adapter) if adapter else parent.chain))
        if adapter:
            self._held.add(adapter.sha256)
        return _records(self.latest, parent.version, round_number, adapter)


def credit_groups(rewards: StudyProgress, baselines: StudyProgress | None) -> list[CreditGroup]:
    """Return the groups of a round in the order of its contexts. Only a reward study has any business here."""
    assert rewards.study.purpose == "reward", "nothing but rewards is credited"
    num_tokens = sum(len(edit.generated.token_ids) for context in rewards.contexts.values() for edit in context.edits if edit.generated)
    return [rewards.group(name, _baseline(baselines, name), with_tokens=num_tokens <= MAX_CREDIT_TOKENS) for name in rewards.contexts]


def _baseline(baselines: StudyProgress | None, context_id: str) -> float | None:
    scores = baselines.edit(context_id, 0).rewards() if baselines is not None else ()
    return mean(scores) if scores else None


def _records(policy: PolicyRef, parent: int, round_number: int, adapter: AdapterRef | None) -> list[Command]:
    record = PolicyRecord(
        version=policy.version,
        parent=parent,
        round=round_number,
        adapter_sha256=adapter.sha256 if adapter else "",
        rank=adapter.rank if adapter else 0,
        num_bytes=adapter.num_bytes if adapter else 0,
    )
    keep = KeepPolicy(version=policy.version, parent=parent, round=round_number, adapter=adapter, chain=policy.chain)
    return [keep, Commit(record=record)]
