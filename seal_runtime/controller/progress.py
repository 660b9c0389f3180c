"""How far a study is: its self-edits, their scores, and the counts that people see. No decisions are taken here.

Invariant: every self-edit is settled exactly once, as scored (unparsed ones count with score 0) or as invalid.
"""

import math
from dataclasses import dataclass, field

from protocol.jobs import CreditGroup, GeneratedEdit, PolicyRef, ScoredEdit
from protocol.status import StudyStatus
from seal_runtime.algorithms.statistics import mean, standard_error
from seal_runtime.controller.study import Study
from seal_runtime.metrics.texts import TextCounter
from seal_runtime.tasks.base import Instance


@dataclass(slots=True, kw_only=True)
class EditProgress:
    """One self-edit: its text, the score of each replicate so far, and how many replicates were given up.

    `mean_reward` is set once it is settled, None when nothing could be measured.
    """

    edit_index: int
    generated: GeneratedEdit | None = None
    is_settled: bool = False
    mean_reward: float | None = None
    scores: dict[int, float] = field(default_factory=dict)
    num_lost: int = 0
    num_steps: list[int] = field(default_factory=list)

    def rewards(self) -> tuple[float, ...]:
        """Return the scores by replicate; none when nothing could be measured."""
        return tuple(self.scores[replicate] for replicate in sorted(self.scores))


@dataclass(slots=True, kw_only=True)
class ContextProgress:
    """One context of a study and its self-edits by index."""

    instance: Instance
    edits: list[EditProgress]


class StudyProgress:
    """A study under way."""

    def __init__(self, study: Study, policy: PolicyRef, opened_at: float) -> None:
        self.study = study
        self.policy = policy
        self.opened_at = opened_at
        self.num_scored = 0
        self.num_invalid = 0
        self.num_unparsed = 0
        self.last_loss = ""
        self.is_closed = False
        self.texts = TextCounter()
        self.contexts = {
            instance.instance_id: ContextProgress(
                instance=instance, edits=[EditProgress(edit_index=index) for index in range(study.edits_per_context)]
            )
            for instance in study.instances
        }
        self._status: StudyStatus | None = None

    @property
    def num_settled(self) -> int:
        """Return how many self-edits are scored or invalid."""
        return self.num_scored + self.num_invalid

    @property
    def is_complete(self) -> bool:
        """Say whether every self-edit is settled."""
        return self.num_settled == self.study.num_items

    def edit(self, context_id: str, edit_index: int) -> EditProgress:
        """Return one self-edit."""
        return self.contexts[context_id].edits[edit_index]

    def count_text(self, context_id: str, generated: GeneratedEdit) -> None:
        """Count a written self-edit for the figures about texts."""
        is_cut = generated.finish_reason == "length"
        self.texts.add(context_id, generated.text, len(generated.token_ids), is_cut=is_cut)
        self._status = None

    def score(self, edit: EditProgress, replicate: int, value: float) -> None:
        """Enter the score of a replicate."""
        assert replicate not in edit.scores, "a replicate is scored once"
        edit.scores[replicate] = value
        self._settle_when_complete(edit)

    def lose(self, edit: EditProgress, reason: str, num_replicates: int = 1) -> None:
        """Give up replicates of a self-edit; `last_loss` keeps the reason for people."""
        self.last_loss = reason
        edit.num_lost += num_replicates
        self._settle_when_complete(edit)

    def mark_unparsed(self, edit: EditProgress) -> None:
        """Give a self-edit that cannot be used the lowest reward."""
        self.num_unparsed += 1
        edit.scores = dict.fromkeys(range(self.study.replicates), 0.0)
        self._settle_when_complete(edit)

    def count_left_out(self) -> None:
        """Count a self-edit that cannot be used where the measurement goes on without it."""
        self.num_unparsed += 1
        self._status = None

    def group(self, context_id: str, baseline: float | None, *, with_tokens: bool) -> CreditGroup:
        """Return the scored self-edits of a context for the critic; those without text were never proposed and are left out."""
        context = self.contexts[context_id]
        edits = [
            ScoredEdit(
                edit_index=edit.edit_index,
                text=edit.generated.text,
                rewards=edit.rewards(),
                token_ids=edit.generated.token_ids if with_tokens else (),
                behaviour_logprobs=edit.generated.logprobs if with_tokens else (),
            )
            for edit in context.edits
            if edit.generated is not None
        ]
        return CreditGroup(context_id=context_id, prompt=context.instance.prompt, baseline=baseline, edits=tuple(edits))

    def forget_texts(self) -> None:
        """Let go of the self-edits' texts and tokens: the round is credited, and the ledger has them."""
        for context in self.contexts.values():
            for edit in context.edits:
                edit.generated = None

    def mean_steps(self) -> dict[str, int]:
        """Return the mean optimizer steps of each context's trained self-edits, rounded; the study's mean where there are none."""
        by_context = {name: [steps for edit in context.edits for steps in edit.num_steps] for name, context in self.contexts.items()}
        everywhere = [steps for all_steps in by_context.values() for steps in all_steps]
        if not everywhere:
            return dict.fromkeys(by_context, 0)
        return {name: max(1, math.floor(mean(steps or everywhere) + 0.5)) for name, steps in by_context.items()}

    def status(self) -> StudyStatus:
        """Return counts and score; computed again only after a change."""
        if self._status is None:
            texts = self.texts.figures()
            edits = [edit for context in self.contexts.values() for edit in context.edits]
            scores = [edit.mean_reward for edit in edits if edit.mean_reward is not None]
            self._status = StudyStatus(
                study=self.study.name,
                policy_version=self.study.policy_version,
                num_items=self.study.num_items,
                num_scored=self.num_scored,
                num_invalid=self.num_invalid,
                num_unparsed=self.num_unparsed,
                mean_score=mean(scores) if scores else None,
                score_stderr=self._stderr(),
                unique_share=texts.unique_share if texts is not None else None,
            )
        return self._status

    def _settle_when_complete(self, edit: EditProgress) -> None:
        if edit.is_settled or len(edit.scores) + edit.num_lost < self.study.replicates:
            return
        edit.is_settled = True
        self._status = None
        edit.mean_reward = self._outcome(edit)
        if edit.mean_reward is not None:
            self.num_scored += 1
        else:
            self.num_invalid += 1

    def _outcome(self, edit: EditProgress) -> float | None:
        """Return the mean over replicates; in a continual study what is known at the end, after the last edit of the sequence."""
        if self.study.sequence_length:
            return edit.scores.get(self.study.sequence_length)
        return mean(edit.rewards()) if edit.scores else None

    def _stderr(self) -> float | None:
        """Return the standard error over contexts, over sequences where the contexts of one depend on each other."""
        size, contexts = self.study.sequence_length or 1, list(self.contexts.values())
        clusters = [
            [edit.mean_reward for context in contexts[start : start + size] for edit in context.edits if edit.mean_reward is not None]
            for start in range(0, len(contexts), size)
        ]
        return standard_error([mean(scores) for scores in clusters if scores])
