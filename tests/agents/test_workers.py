"""Each role turns jobs into engine requests and outputs into results; engines without a model, a real store."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from jobs_for_tests import adapt_job, credit_job, evaluate_job, propose_job

from agents.critic import Critic
from agents.evaluator import Evaluator
from agents.grading import GradingPool
from agents.policies import PolicyResolver
from agents.proposer import Proposer
from agents.trainer import Trainer
from agents.worker import Failed, Finished, Outcome, Worker
from protocol.jobs import AdapterRef, AdaptResult, CreditResult, EvaluateResult, PolicyRef, ProposeResult, Question
from seal_runtime.algorithms.registry import make_algorithm
from seal_runtime.config.topology import AlgorithmConfig
from seal_runtime.engines.base import AnswerOutput, AnswerRequest, SampleRequest
from seal_runtime.engines.fake import FakeAdaptEngine, FakeGenerationEngine
from seal_runtime.errors import GradeError, ReceiptError, StoreError
from seal_runtime.store.adapters import CONFIG_FILE, AdapterStore


def outcomes_of(worker: Worker, count: int = 1) -> list[Outcome]:
    found: list[Outcome] = []
    deadline = time.monotonic() + 20
    while len(found) < count:
        found += worker.step()
        assert time.monotonic() < deadline, f"only {found}"
    return found


def half_right(question: Question, answer: str) -> float:
    return 0.5


def make_evaluator(store: AdapterStore, engine: FakeGenerationEngine, grade: object = half_right) -> Evaluator:
    graders = GradingPool(grade, num_threads=2, timeout_seconds=20)  # type: ignore[arg-type]
    return Evaluator(engine=engine, policies=PolicyResolver(store), store=store, graders=graders, capacity=3)


def train(store: AdapterStore, seed: int = 1) -> AdapterRef:
    trainer = Trainer(engine=FakeAdaptEngine(), policies=PolicyResolver(store), store=store)
    trainer.begin(adapt_job(seed=seed))
    (outcome,) = outcomes_of(trainer)
    assert isinstance(outcome, Finished)
    assert isinstance(outcome.result, AdaptResult)
    return outcome.result.adapter


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(tmp_path / "adapters")


def test_proposer_answers_with_an_edit_for_each_seed(store: AdapterStore) -> None:
    proposer = Proposer(engine=FakeGenerationEngine(), policies=PolicyResolver(store), capacity=5)
    assert (proposer.capacity, proposer.must_step, list(proposer.step())) == (5, False, [])
    proposer.begin(propose_job("p", 7, 8, 7))
    (outcome,) = outcomes_of(proposer)
    assert isinstance(outcome, Finished)
    assert isinstance(outcome.result, ProposeResult)
    first, second, again = outcome.result.edits
    assert (outcome.job_id, first == again, first == second) == ("p", True, False)


def test_proposer_passes_an_engine_failure_on(store: AdapterStore) -> None:
    engine = FakeGenerationEngine(fail_substring="words", fail_retryable=True)
    proposer = Proposer(engine=engine, policies=PolicyResolver(store), capacity=5)
    proposer.begin(propose_job("p"))
    (outcome,) = outcomes_of(proposer)
    assert isinstance(outcome, Failed)
    assert (outcome.job_id, outcome.retryable, type(outcome.error).__name__) == ("p", True, "GenerateError")


def test_trainer_publishes_each_adapter_under_its_hash(store: AdapterStore) -> None:
    trainer = Trainer(engine=FakeAdaptEngine(num_slots=3), policies=PolicyResolver(store), store=store)
    assert trainer.capacity == 6
    trainer.begin(adapt_job("a", seed=1))
    trainer.begin(adapt_job("b", seed=2))
    results = {outcome.job_id: outcome.result for outcome in outcomes_of(trainer, 2) if isinstance(outcome, Finished)}
    for result in results.values():
        assert isinstance(result, AdaptResult)
        assert store.has(result.adapter.sha256)
        assert (result.adapter.rank, result.num_steps) == (2, 6)
    assert len({result.adapter.sha256 for result in results.values() if isinstance(result, AdaptResult)}) == 2
    assert not list(store.root.glob(".staging-*"))


def test_trainer_cleans_up_after_cancel_and_close(store: AdapterStore) -> None:
    trainer = Trainer(engine=FakeAdaptEngine(delay_seconds=60), policies=PolicyResolver(store), store=store)
    for job_id in ("a", "b"):
        trainer.begin(adapt_job(job_id))
    trainer.cancel("a")
    trainer.cancel("unknown")
    for _, request in trainer._requests.values():
        request.output_dir.mkdir()
    assert list(store.root.glob(".staging-*"))
    trainer.close()
    assert not list(store.root.iterdir())
    assert not trainer.must_step


def test_trainer_reports_a_diverged_job_as_final(store: AdapterStore) -> None:
    engine = FakeAdaptEngine(fail_substring="nan")
    trainer = Trainer(engine=engine, policies=PolicyResolver(store), store=store)
    trainer.begin(adapt_job("bad", "a nan here"))
    trainer.begin(adapt_job("good", "a fact"))
    by_id = {outcome.job_id: outcome for outcome in outcomes_of(trainer, 2)}
    bad = by_id["bad"]
    assert isinstance(bad, Failed)
    assert not bad.retryable
    assert isinstance(by_id["good"], Finished)


def test_a_store_that_refuses_fails_the_job_as_retryable(store: AdapterStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(staging: Path, reference: AdapterRef, *, durable: bool = False) -> AdapterRef:
        raise StoreError("cannot move adapter: is the disk full?")

    trainer = Trainer(engine=FakeAdaptEngine(), policies=PolicyResolver(store), store=store)
    monkeypatch.setattr(store, "adopt", refuse)
    trainer.begin(adapt_job("a"))
    (outcome,) = outcomes_of(trainer)
    assert isinstance(outcome, Failed)
    assert outcome.retryable
    assert not list(store.root.glob(".staging-*"))


def test_policy_updates_are_published_durably(store: AdapterStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []
    inspect, adopt = store.inspect, store.adopt

    def inspecting(staging: Path, *, durable: bool = False) -> AdapterRef:
        asked.append(("inspect", durable))
        return inspect(staging, durable=durable)

    def adopting(staging: Path, reference: AdapterRef, *, durable: bool = False) -> AdapterRef:
        asked.append(("adopt", durable))
        return adopt(staging, reference, durable=durable)

    monkeypatch.setattr(store, "inspect", inspecting)
    monkeypatch.setattr(store, "adopt", adopting)
    trainer = Trainer(engine=FakeAdaptEngine(), policies=PolicyResolver(store), store=store)
    trainer.begin(adapt_job("inner"))
    outcomes_of(trainer)
    trainer.begin(dataclasses.replace(adapt_job("policy"), purpose="policy"))
    outcomes_of(trainer)
    assert asked == [("inspect", False), ("adopt", False), ("inspect", True), ("adopt", True)]


def test_evaluator_grades_with_a_receipt(store: AdapterStore) -> None:
    adapter = train(store)
    evaluator = make_evaluator(store, FakeGenerationEngine())
    evaluator.begin(evaluate_job(adapter=adapter))
    (outcome,) = outcomes_of(evaluator)
    assert isinstance(outcome, Finished)
    assert isinstance(outcome.result, EvaluateResult)
    assert [(answer.question_id, answer.score) for answer in outcome.result.answers] == [("q0", 0.5), ("q1", 0.5), ("q2", 0.5)]
    receipt = outcome.result.receipt
    assert (receipt.adapter_sha256, receipt.policy_version) == (adapter.sha256, 0)
    assert receipt.probe_delta > 0
    evaluator.close()


class _LyingEngine(FakeGenerationEngine):
    """Claims what it is told to claim of the adapter that it loaded."""

    def __init__(self, *, sha256: str | None = None, policy: tuple[str, ...] = (), probe_delta: float | None = None) -> None:
        super().__init__()
        self._sha256, self._policy, self._probe_delta = sha256, policy, probe_delta

    def step(self) -> Sequence[AnswerOutput]:
        return [self._claim(output) for output in super().step() if isinstance(output, AnswerOutput)]

    def _claim(self, output: AnswerOutput) -> AnswerOutput:
        sha256 = output.adapter_sha256 if self._sha256 is None else self._sha256
        probe_delta = output.probe_delta if self._probe_delta is None else self._probe_delta
        return dataclasses.replace(output, adapter_sha256=sha256, policy_sha256s=self._policy, probe_delta=probe_delta)


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (_LyingEngine(sha256="0" * 64), "the engine loaded 0000"),
        (_LyingEngine(sha256=""), "loaded none"),
        (_LyingEngine(probe_delta=0.0), "changes nothing"),
        (_LyingEngine(policy=("0" * 64,)), "on policy v0, the engine had other adapters folded in: 0000"),
    ],
)
def test_evaluator_refuses_what_it_cannot_prove(store: AdapterStore, engine: FakeGenerationEngine, reason: str) -> None:
    evaluator = make_evaluator(store, engine)
    evaluator.begin(evaluate_job(adapter=train(store)))
    (outcome,) = outcomes_of(evaluator)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, ReceiptError)
    assert reason in str(outcome.error)
    evaluator.close()


def test_evaluator_reports_a_dead_grader_as_a_retryable_failure(store: AdapterStore) -> None:
    def dead(question: Question, answer: str) -> float:
        raise GradeError("connection refused")

    evaluator = make_evaluator(store, FakeGenerationEngine(), dead)
    evaluator.begin(evaluate_job())
    (outcome,) = outcomes_of(evaluator)
    assert isinstance(outcome, Failed)
    assert outcome.retryable
    assert isinstance(outcome.error, GradeError)
    evaluator.close()


class _CountingEngine(FakeGenerationEngine):
    def __init__(self) -> None:
        super().__init__()
        self.requests: list[str] = []

    def submit(self, request: SampleRequest | AnswerRequest) -> None:
        self.requests.append(request.request_id)
        super().submit(request)


def test_answers_of_the_policy_alone_are_not_generated_twice(store: AdapterStore) -> None:
    engine = _CountingEngine()
    evaluator = make_evaluator(store, engine)
    evaluator.begin(evaluate_job("first"))
    (first,) = outcomes_of(evaluator)
    evaluator.begin(evaluate_job("second"))
    (second,) = outcomes_of(evaluator)
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    assert (first.result, second.job_id) == (second.result, "second")
    evaluator.begin(evaluate_job("other policy", policy=PolicyRef(version=1, chain=(train(store),))))
    outcomes_of(evaluator)
    evaluator.begin(evaluate_job("adapted", adapter=train(store)))
    evaluator.begin(evaluate_job("adapted again", adapter=train(store)))
    outcomes_of(evaluator, 2)
    assert engine.requests == ["first", "other policy", "adapted", "adapted again"]
    evaluator.close()


def test_a_cancelled_evaluation_gives_nothing(store: AdapterStore) -> None:
    evaluator = make_evaluator(store, FakeGenerationEngine(delay_seconds=0.05))
    evaluator.begin(evaluate_job("gone"))
    evaluator.begin(evaluate_job("stays"))
    evaluator.cancel("gone")
    (outcome,) = outcomes_of(evaluator)
    assert outcome.job_id == "stays"
    assert list(evaluator.step()) == []
    evaluator.close()


def test_a_damaged_policy_is_never_used(store: AdapterStore) -> None:
    adapter = train(store)
    (store.path(adapter.sha256) / CONFIG_FILE).write_text('{"r": 3}')
    proposer = Proposer(engine=FakeGenerationEngine(), policies=PolicyResolver(store), capacity=1)
    with pytest.raises(StoreError, match="other bytes"):
        proposer.begin(propose_job(policy=PolicyRef(version=1, chain=(adapter,))))


def test_critic_answers_with_the_algorithms_verdict() -> None:
    job = credit_job()
    critic = Critic(algorithm=make_algorithm(AlgorithmConfig()))
    assert not critic.must_step
    critic.begin(job)
    assert critic.must_step
    (outcome,) = critic.step()
    assert isinstance(outcome, Finished)
    assert isinstance(outcome.result, CreditResult)
    assert outcome.result == make_algorithm(AlgorithmConfig()).credit(job)
    critic.begin(job)
    critic.cancel(job.job_id)
    assert list(critic.step()) == []
