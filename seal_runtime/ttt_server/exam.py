"""One request on its way: which jobs are due, and the reply when all have their results. Pure: no socket, no clock, no thread.

Invariant: a reply is made from results alone. A job that failed ends the request in an error; nothing is ever filled in for it.
"""

from collections.abc import Sequence

from protocol.jobs import AdapterRef, AdaptJob, AdaptResult, EvaluateJob, EvaluateResult, Job, JobResult, PolicyRef, Question
from seal_runtime.ttt_server.jobs import ServerRules, Training, accuracy
from seal_runtime.ttt_server.wire import TttReply

BASE = PolicyRef(version=0, chain=())
_RIGHT = 0.5
"""A grade from here on counts as right; graders that say yes or no give 1 or 0."""
_DIGITS = 4


class Exam:
    """The baseline and the training begin at once; the adapter is examined when it is trained."""

    def __init__(
        self, exam_id: str, *, questions: tuple[tuple[Question, ...], ...], training: Training | None, seed: int, rules: ServerRules
    ) -> None:
        self.exam_id = exam_id
        self.adapter: AdapterRef | None = None
        self._questions = questions
        self._training = training
        self._seed = seed
        self._max_new_tokens = rules.max_new_tokens
        self._results: dict[str, EvaluateResult] = {}
        self._due: set[str] = set()

    @property
    def is_done(self) -> bool:
        """Say whether every job has its result."""
        return not self._due

    @property
    def job_ids(self) -> Sequence[str]:
        """Return the jobs that have no result yet."""
        return sorted(self._due)

    def begin(self) -> list[Job]:
        """Return the first jobs; none when nothing is asked and nothing trained."""
        jobs: list[Job] = list(self._examination("baseline", None))
        if self._training is not None:
            training = self._training
            jobs.append(
                AdaptJob(
                    job_id=f"{self.exam_id}/adapt",
                    purpose="inner",
                    policy=BASE,
                    sequences=training.sequences,
                    lora=training.lora,
                    optim=training.optim,
                    seed=self._seed,
                )
            )
        self._due.update(job.job_id for job in jobs)
        return jobs

    def take(self, job_id: str, result: JobResult) -> list[Job]:
        """Take the result of a job and return the jobs that it makes possible."""
        self._due.discard(job_id)
        if isinstance(result, EvaluateResult):
            self._results[job_id] = result
            return []
        assert isinstance(result, AdaptResult), result
        self.adapter = result.adapter
        jobs: list[Job] = list(self._examination("adapted", result.adapter))
        self._due.update(job.job_id for job in jobs)
        return jobs

    def reply(self) -> TttReply:
        """Return the reply; without training the adapter's figures are the baseline's, as in the published server."""
        baseline = self._graded("baseline")
        adapted = baseline if self._training is None else self._graded("adapted")
        base_ok, adapted_ok = [tuple(right for _, right in graded) for graded in (baseline, adapted)]
        base_accuracy, adapted_accuracy = accuracy(base_ok), accuracy(adapted_ok)
        return TttReply(
            baseline_accuracy=round(base_accuracy, _DIGITS),
            adapter_accuracy=round(adapted_accuracy, _DIGITS),
            adapter_gain=round(adapted_accuracy - base_accuracy, _DIGITS),
            baseline_texts=tuple(text for text, _ in baseline),
            adapter_texts=tuple(text for text, _ in adapted),
            baseline_correct=base_ok,
            adapter_correct=adapted_ok,
            gains=tuple(int(after) - int(before) for before, after in zip(base_ok, adapted_ok, strict=True)),
        )

    def _examination(self, stage: str, adapter: AdapterRef | None) -> list[EvaluateJob]:
        return [
            EvaluateJob(
                job_id=self._name(stage, part),
                policy=BASE,
                adapter=adapter,
                questions=questions,
                max_new_tokens=self._max_new_tokens,
                stop="\n",
                scoring="mean",
            )
            for part, questions in enumerate(self._questions)
        ]

    def _graded(self, stage: str) -> list[tuple[str, bool]]:
        parts = [self._results[self._name(stage, part)] for part in range(len(self._questions))]
        return [(answer.text, answer.score >= _RIGHT) for part in parts for answer in part.answers]

    def _name(self, stage: str, part: int) -> str:
        return f"{self.exam_id}/{stage}-{part}"
