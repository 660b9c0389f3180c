"""What was trained and what it answered: the replicates of a self-edit, question by question beside the answers without it."""

from collections.abc import Mapping, Sequence

from protocol.jobs import AdaptJob, AdaptResult, EvaluateJob, EvaluateResult
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.records import ResultRow
from seal_runtime.story.find import EditId
from seal_runtime.story.model import Answer, QuestionStory, ReceiptStory, Replicate, Training


def replicate_of(number: int, adapt: ResultRow | None, evaluate: ResultRow | None) -> Replicate:
    """Return one replicate from its two rows, each None while it is not committed."""
    training = _training(adapt) if adapt is not None else None
    return Replicate(
        number=number,
        training=training,
        receipt=_receipt(evaluate, training) if evaluate is not None else None,
        score=score_of(evaluate) if evaluate is not None else None,
    )


def base_row(reader: LedgerReader, edit: EditId, policy_version: int) -> ResultRow | None:
    """Return the examination of the same context without an edit, under the same policy where there is one, else the base model's."""
    for study in (f"baseline-{edit.study}", f"baseline-v{policy_version}", "no-update", "cpt-no-update"):
        row = reader.result(f"{study}/{edit.context_id}/e0/r0/evaluate") if study != edit.study else None
        if row is not None:
            return row
    return None


def question_stories(evaluations: Sequence[ResultRow | None], base: ResultRow | None) -> tuple[QuestionStory, ...]:
    """Return every question that was asked, in the order of the first examination, with the answers of each replicate."""
    first = next((row for row in (*evaluations, base) if row is not None), None)
    if first is None:
        return ()
    assert isinstance(first.job, EvaluateJob)
    base_answers = _answers(base)
    adapted = [_answers(row) for row in evaluations]
    return tuple(
        QuestionStory(
            question_id=question.question_id,
            prompt=question.prompt,
            gold=question.answers,
            base=base_answers.get(question.question_id),
            adapted=tuple(answers.get(question.question_id) for answers in adapted),
        )
        for question in first.job.questions
    )


def _answers(row: ResultRow | None) -> Mapping[str, Answer]:
    if row is None:
        return {}
    assert isinstance(row.result, EvaluateResult)
    return {answer.question_id: Answer(text=answer.text, score=answer.score) for answer in row.result.answers}


def _training(row: ResultRow) -> Training:
    job, result = row.job, row.result
    assert isinstance(job, AdaptJob)
    assert isinstance(result, AdaptResult)
    return Training(
        adapter_sha256=result.adapter.sha256,
        rank=result.adapter.rank,
        num_bytes=result.adapter.num_bytes,
        first_loss=result.first_loss,
        final_loss=result.final_loss,
        num_steps=result.num_steps,
        num_tokens=result.num_tokens,
        num_truncated=result.num_truncated,
        learning_rate=job.optim.learning_rate,
        epochs=job.optim.epochs,
        seed=job.seed,
    )


def _receipt(row: ResultRow, training: Training | None) -> ReceiptStory:
    assert isinstance(row.job, EvaluateJob)
    assert isinstance(row.result, EvaluateResult)
    receipt, asked = row.result.receipt, row.job.adapter
    expected = training.adapter_sha256 if training is not None else asked.sha256 if asked is not None else ""
    return ReceiptStory(
        adapter_sha256=receipt.adapter_sha256,
        policy_version=receipt.policy_version,
        probe_delta=receipt.probe_delta,
        matches=receipt.adapter_sha256 == expected
        and receipt.policy_version == row.policy_version
        and receipt.policy_sha256s == row.job.policy.sha256s
        and (not expected or receipt.probe_delta > 0),
    )


def score_of(row: ResultRow) -> float:
    """Return the score of an examination."""
    assert isinstance(row.result, EvaluateResult)
    return row.result.score
