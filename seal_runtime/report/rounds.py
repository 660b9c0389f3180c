"""What happened in the outer loop: rewards of each round, the best and the worst self-edit, the lineage of policies."""

from collections.abc import Mapping, Sequence

from seal_runtime.algorithms.statistics import mean, standard_error
from seal_runtime.ledger.records import PolicyRow
from seal_runtime.report.gather import EditRecord, Gathered, StudyRecord
from seal_runtime.report.measures import Scope, context_means, count_missing
from seal_runtime.report.model import EditStory, PolicyStep, RoundSummary, Verdict
from seal_runtime.tasks.base import Instance

SECONDS_PER_HOUR = 3600.0


def round_summaries(gathered: Gathered, scope: Scope) -> tuple[RoundSummary, ...]:
    """Return one summary for each round that has begun, in order."""
    numbers = range(1, scope.rounds + 1)
    return tuple(_summary(number, gathered.study(f"round-{number}"), scope) for number in numbers if f"round-{number}" in gathered.studies)


def best_and_worst(gathered: Gathered, instances: Mapping[str, Instance]) -> tuple[EditStory | None, EditStory | None]:
    """Return the self-edits of highest and lowest reward over all rounds: two different edits, also when all rewards are the same.

    Ties go to the earliest round, then to context id and edit index; among the worst, edits that have answers to show come first.
    """
    edits = [
        (number, edit)
        for number, study in rounds_of(gathered)
        for _, edit in sorted(study.edits.items())
        if edit.score is not None and edit.text is not None and edit.context_id in instances
    ]
    if not edits:
        return None, None
    best = max(edits, key=lambda item: score_of(item[1]))
    others = [item for item in edits if item[1] is not best[1]]
    worst = min(others, key=lambda item: (score_of(item[1]), item[1].state == "unparsed"), default=None)
    return _round_story(*best, instances), _round_story(*worst, instances) if worst is not None else None


def policy_steps(gathered: Gathered, policies: Sequence[PolicyRow]) -> tuple[PolicyStep, ...]:
    """Return the lineage, oldest first, with the held-out score of each version that was measured."""
    return tuple(_policy_step(gathered, policy) for policy in sorted(policies, key=lambda policy: policy.version))


def per_hour(count: int, seconds: float) -> float | None:
    """Return a rate per hour, None for no time at all."""
    return SECONDS_PER_HOUR * count / seconds if seconds > 0 else None


def rounds_of(gathered: Gathered) -> Sequence[tuple[int, StudyRecord]]:
    """Return the rounds that have begun with their numbers, in order."""
    numbered = [(int(name[6:]), study) for name, study in gathered.studies.items() if name.startswith("round-") and name[6:].isdigit()]
    return sorted(numbered, key=lambda item: item[0])


def score_of(edit: EditRecord) -> float:
    """Return the score of an edit that has one."""
    assert edit.score is not None
    return edit.score


def _summary(number: int, study: StudyRecord, scope: Scope) -> RoundSummary:
    by_context = study.scores_by_context()
    means = list(context_means(study).values())
    rewards = sorted(score for scores in by_context.values() for score in scores)
    texts = [(edit.context_id, edit.text.strip()) for edit in study.edits.values() if edit.text is not None]
    invalid, missing = count_missing(study, scope.reward_contexts, scope.reward_edits)
    seconds = study.ended_at - study.started_at if study.started_at is not None and study.ended_at is not None else 0.0
    return RoundSummary(
        round=number,
        policy_version=max(0, number - 1 - scope.max_policy_lag),
        mean_reward=mean(means) if means else None,
        stderr_reward=standard_error(means),
        best_reward=mean([max(scores) for scores in by_context.values()]) if by_context else None,
        num_contexts=len(means),
        num_edits=len(rewards),
        num_unparsed=study.count("unparsed"),
        num_invalid=invalid,
        num_missing=missing,
        edits_per_hour=per_hour(len(rewards), seconds),
        distinct_share=len(set(texts)) / len(texts) if texts else None,
        rewards=tuple(rewards),
    )


def edit_story(study_name: str, number: int, edit: EditRecord, instance: Instance) -> EditStory:
    """Return an edit that has a score with its answers; `number` is its round, 0 for an edit of no round."""
    questions = {question.question_id: question for question in instance.questions}
    verdicts = tuple(
        Verdict(prompt=question.prompt, gold=question.answers, answer=answer.text, score=answer.score)
        for answer in edit.answers
        if (question := questions.get(answer.question_id)) is not None
    )
    return EditStory(
        edit_id=f"{study_name}/{edit.context_id}/e{edit.edit_index}",
        round=number,
        context_id=edit.context_id,
        title=instance.title,
        context=instance.context,
        text=edit.text or "",
        reward=score_of(edit),
        replicate_rewards=tuple(score for _, score in sorted(edit.scores.items())),
        chosen=edit.chosen,
        verdicts=verdicts,
    )


def _round_story(number: int, edit: EditRecord, instances: Mapping[str, Instance]) -> EditStory:
    return edit_story(f"round-{number}", number, edit, instances[edit.context_id])


def _policy_step(gathered: Gathered, policy: PolicyRow) -> PolicyStep:
    means = list(context_means(gathered.study(f"heldout-v{policy.version}")).values())
    trained_on = gathered.study(f"round-{policy.round}") if policy.version > 0 else StudyRecord()
    return PolicyStep(
        version=policy.version,
        parent=policy.parent if policy.parent >= 0 else None,
        round=policy.round,
        adapter_sha256=policy.adapter_sha256,
        rank=policy.rank,
        num_bytes=policy.num_bytes,
        heldout_percent=100 * mean(means) if means else None,
        num_chosen=sum(edit.chosen for edit in trained_on.edits.values()),
    )
