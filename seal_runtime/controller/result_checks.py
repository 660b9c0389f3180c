"""Is an answer a result of the job that it claims to answer? What fails here is a failed attempt, never a score.

The checks of an evaluation are the reward's receipt: it names the adapter and policy that were asked for, the adapter had an effect,
and exactly the job's questions were answered.
"""

from protocol.jobs import (
    RESULT_OF_JOB,
    AdaptJob,
    AdaptResult,
    CreditJob,
    CreditResult,
    EvaluateJob,
    EvaluateResult,
    Job,
    JobResult,
    ProposeJob,
    ProposeResult,
)
from seal_runtime.algorithms.statistics import mean
from seal_runtime.controller.events import JobSucceeded
from seal_runtime.controller.work import Work
from seal_runtime.ledger.records import ResultRecord


def record_of(work: Work, event: JobSucceeded) -> ResultRecord:
    """Return what the ledger keeps of a usable result."""
    return ResultRecord(
        key=work.key,
        policy_version=work.policy_version,
        attempt=event.attempt,
        agent=event.agent,
        started_at=event.started_at,
        duration_seconds=event.duration_seconds,
        score=event.result.score if isinstance(event.result, EvaluateResult) else None,
        job=work.job,
        result=event.result,
    )


def why_unusable(job: Job, result: JobResult) -> str | None:
    """Return what is wrong with a result, None when it can be used."""
    if type(result) is not RESULT_OF_JOB[type(job)]:
        return f"expected {RESULT_OF_JOB[type(job)].__name__} for {type(job).__name__}, got {type(result).__name__}"
    match job, result:
        case ProposeJob(), ProposeResult() if len(result.edits) != len(job.seeds):
            return f"expected {len(job.seeds)} self-edits, got {len(result.edits)}"
        case AdaptJob(), AdaptResult() if result.num_steps < 1 or result.adapter.rank < 1:
            return f"expected a trained adapter, got {result.num_steps} optimizer steps and rank {result.adapter.rank}"
        case EvaluateJob(), EvaluateResult():
            return _receipt_problem(job, result) or _answers_problem(job, result)
        case CreditJob(), CreditResult():
            return _credit_problem(job, result)
        case _:
            return None


def _receipt_problem(job: EvaluateJob, result: EvaluateResult) -> str | None:
    receipt, wanted = result.receipt, job.adapter.sha256 if job.adapter else ""
    if receipt.adapter_sha256 != wanted:
        return f"the receipt names adapter {receipt.adapter_sha256[:12] or 'none'}, the job adapter {wanted[:12] or 'none'}"
    if receipt.policy_version != job.policy.version:
        return f"the receipt names policy version {receipt.policy_version}, the job version {job.policy.version}"
    if receipt.policy_sha256s != job.policy.sha256s:
        return f"the receipt names other adapters of the policy than version {job.policy.version} of the job has"
    if job.adapter is not None and not receipt.probe_delta > 0:
        return f"the adapter {wanted[:12]} had no effect on the model (probe_delta {receipt.probe_delta})"
    return None


def _answers_problem(job: EvaluateJob, result: EvaluateResult) -> str | None:
    asked, answered = [question.question_id for question in job.questions], [answer.question_id for answer in result.answers]
    if asked != answered:
        return f"expected answers to the job's {len(asked)} questions in their order, got {len(answered)} others"
    outside = [answer for answer in result.answers if not 0.0 <= answer.score <= 1.0]
    if outside:
        return f"expected grades in [0, 1], got {outside[0].score} for {outside[0].question_id}"
    wanted = mean([answer.score for answer in result.answers])
    if job.scoring == "mean" and result.score != wanted:
        return f"expected the mean of the grades, {wanted}, as score, got {result.score}"
    return None if 0.0 <= result.score <= 1.0 else f"expected a score in [0, 1], got {result.score}"


def _credit_problem(job: CreditJob, result: CreditResult) -> str | None:
    known = {(group.context_id, edit.edit_index) for group in job.groups for edit in group.edits if edit.rewards}
    credited = [(credit.context_id, credit.edit_index) for credit in result.credits]
    if len(set(credited)) != len(credited) or not known.issuperset(credited):
        return f"expected credit for measured self-edits of round {job.round}, once each; got unknown or repeated ones"
    if result.update is not None and not result.update.sequences:
        return f"expected training sequences in the update of round {job.round}, got none; an empty update is None"
    return None
