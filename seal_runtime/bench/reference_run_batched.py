"""Our schedule end to end: adapters train together, each is examined when it is done, grades come from a pool of threads.

A baseline is answered and graded once for each set of questions. Training and answering share one process and one device here; in a run
they are processes of their own, so this is the harder case for us.
"""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from protocol.jobs import Question
from seal_runtime.bench.jobs import BenchJob, by_work
from seal_runtime.engines.base import AdaptEngine, AnswerOutput, AnswerRequest, GenerationEngine, Policy, RequestFailed

Grade = Callable[[Question, str], float]
_BASE = Policy(version=0, adapters=())
_GRADERS = 8
_JOBS_PER_SLOT = 2
_BASELINE = "baseline/"


class BatchedScoring:
    """Scores all jobs once. `grades` are those of the adapters' answers."""

    def __init__(
        self,
        trainer: AdaptEngine,
        evaluator: GenerationEngine,
        questions: dict[str, tuple[Question, ...]],
        grade: Grade,
        *,
        num_slots: int,
        max_new_tokens: int,
    ) -> None:
        self.grades: list[float] = []
        self._trainer = trainer
        self._evaluator = evaluator
        self._questions = questions
        self._grade = grade
        self._num_slots = num_slots
        self._max_new_tokens = max_new_tokens
        self._verdicts: list[tuple[bool, Future[list[float]]]] = []

    def run(self, jobs: Sequence[BenchJob]) -> None:
        """Train, answer and grade. Raises what ended a job."""
        with tempfile.TemporaryDirectory(prefix="seal-bench-") as folder, ThreadPoolExecutor(_GRADERS) as graders:
            waiting = [job.into(Path(folder)) for job in by_work(jobs)]
            at_work = {job.request.request_id: job for job in waiting}
            for job in {job.prompts: job for job in waiting}.values():
                self._ask(_BASELINE + job.request.request_id, job, None)
            while waiting or self._trainer.num_pending or self._evaluator.num_pending:
                while waiting and self._trainer.num_pending < _JOBS_PER_SLOT * self._num_slots:
                    self._trainer.submit(waiting.pop(0).request)
                self._step(at_work, graders)
            for is_adapted, verdicts in self._verdicts:
                given = verdicts.result()
                self.grades += given if is_adapted else []

    def _step(self, at_work: dict[str, BenchJob], graders: ThreadPoolExecutor) -> None:
        for trained in self._trainer.step() if self._trainer.num_pending else ():
            if isinstance(trained, RequestFailed):
                raise trained.error
            self._ask(trained.request_id, at_work[trained.request_id], trained.output_dir)
        for answered in self._evaluator.step() if self._evaluator.num_pending else ():
            if isinstance(answered, RequestFailed):
                raise answered.error
            assert isinstance(answered, AnswerOutput), answered
            questions = self._questions[answered.request_id.removeprefix(_BASELINE)]
            future = graders.submit(self._grade_all, questions, answered.answers)
            self._verdicts.append((not answered.request_id.startswith(_BASELINE), future))

    def _ask(self, request_id: str, job: BenchJob, adapter: Path | None) -> None:
        request = AnswerRequest(
            request_id=request_id, policy=_BASE, adapter=adapter, prompts=job.prompts, max_new_tokens=self._max_new_tokens
        )
        self._evaluator.submit(request)

    def _grade_all(self, questions: tuple[Question, ...], answers: tuple[str, ...]) -> list[float]:
        return [self._grade(question, answer) for question, answer in zip(questions, answers, strict=True)]
