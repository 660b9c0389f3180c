"""Every graded answer of a run as rows, each with its question and what was accepted."""

from protocol.jobs import EvaluateJob, EvaluateResult
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.records import ResultRow
from seal_runtime.run.fold import round_of
from seal_runtime.run.rows import AnswerRow


def answer_rows(ledger: LedgerReader, study: str | None) -> list[AnswerRow]:
    """Return the answers in the order of the commits."""
    return [answer for row in ledger.results(study=study, stage="evaluate") for answer in _answers(row)]


def _answers(row: ResultRow) -> list[AnswerRow]:
    job, result = row.job, row.result
    assert isinstance(job, EvaluateJob)
    assert isinstance(result, EvaluateResult)
    questions = {question.question_id: question for question in job.questions}
    return [
        AnswerRow(
            study=row.study,
            round=round_of(row.study),
            policy_version=row.policy_version,
            context_id=row.context_id,
            edit_index=max(0, row.edit_index),
            replicate=max(0, row.replicate),
            question_id=answer.question_id,
            question=questions[answer.question_id].prompt,
            gold=questions[answer.question_id].answers,
            answer=answer.text,
            score=answer.score,
            adapter_sha256=result.receipt.adapter_sha256 or None,
        )
        for answer in result.answers
    ]
