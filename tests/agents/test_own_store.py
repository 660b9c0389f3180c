"""Agents without a common disk: adapters travel over the bus, checked by hash, and only whole ones are used."""

from pathlib import Path

from jobs_for_tests import adapt_job, evaluate_job, propose_job
from mini_controller import MiniController, StartAgent, fake_topology

from protocol.jobs import AdapterRef, AdaptResult, EvaluateResult, PolicyRef, ProposeResult
from protocol.messages import BlobChunk, BlobGet, Drain, JobFailed
from seal_runtime.store.adapters import adapter_sha256


def trained(controller: MiniController, job_id: str) -> AdapterRef:
    controller.assign("trainer", adapt_job(job_id, f"a fact of {job_id}"))
    result = controller.result(job_id)
    assert isinstance(result, AdaptResult)
    return result.adapter


def adapters_in(store: Path) -> list[str]:
    return sorted(path.name for path in store.iterdir())


def test_a_trainer_with_its_own_store_uploads_before_it_answers(
    controller: MiniController, start_agent: StartAgent, tmp_path: Path
) -> None:
    start_agent("trainer", "--store", str(tmp_path / "own"))
    controller.ready("trainer")
    adapter = trained(controller, "inner")
    path = controller.store.path(adapter.sha256)
    assert adapter_sha256(path) == adapter.sha256
    assert any(isinstance(message, BlobChunk) for message in controller.received)
    controller.send("trainer", Drain(reason="look"))
    controller.goodbye()
    assert adapters_in(tmp_path / "own") == []


def test_an_evaluator_in_another_store_measures_the_same(controller: MiniController, start_agent: StartAgent, tmp_path: Path) -> None:
    start_agent("trainer")
    start_agent("evaluator", name="near")
    far = tmp_path / "far"
    start_agent("evaluator", "--store", str(far), name="far")
    controller.pump(lambda: len(controller.peers) == 3)
    policy = PolicyRef(version=1, chain=(trained(controller, "policy"),))
    inner = trained(controller, "inner")
    for name in ("near", "far"):
        controller.assign(name, evaluate_job(name, adapter=inner, policy=policy))
    near, distant = controller.result("near"), controller.result("far")
    assert isinstance(distant, EvaluateResult)
    assert near == distant
    assert distant.receipt.adapter_sha256 == inner.sha256
    assert any(isinstance(message, BlobGet) for message in controller.received)
    assert adapters_in(far) == [policy.chain[0].sha256], "policies stay for the next job, inner adapters go"


def test_jobs_on_one_missing_adapter_fail_and_the_agent_lives_on(
    controller: MiniController, start_agent: StartAgent, tmp_path: Path
) -> None:
    start_agent("proposer", "--store", str(tmp_path / "own"))
    controller.ready("proposer")
    absent = PolicyRef(version=1, chain=(AdapterRef(sha256="0" * 64, rank=2, num_bytes=10),))
    controller.assign("proposer", propose_job("lost", policy=absent))
    failed = controller.answer("lost")
    assert isinstance(failed, JobFailed)
    assert (failed.error_type, failed.retryable) == ("TransferError", True)
    controller.assign("proposer", propose_job("fine"))
    assert isinstance(controller.result("fine"), ProposeResult)


def test_an_adapter_missing_from_a_shared_store_fails_its_job(controller: MiniController, start_agent: StartAgent) -> None:
    start_agent("evaluator")
    controller.ready("evaluator")
    controller.assign("evaluator", evaluate_job("lost", adapter=AdapterRef(sha256="0" * 64, rank=2, num_bytes=10)))
    failed = controller.answer("lost")
    assert isinstance(failed, JobFailed)
    assert (failed.error_type, failed.retryable) == ("StoreError", True)


def test_bytes_that_are_not_the_named_adapter_are_never_used(controller: MiniController, start_agent: StartAgent, tmp_path: Path) -> None:
    start_agent("trainer")
    start_agent("evaluator", "--store", str(tmp_path / "own"))
    controller.pump(lambda: len(controller.peers) == 2)
    first, second = trained(controller, "first"), trained(controller, "second")
    controller.store.remove(first.sha256)
    controller.store.path(second.sha256).rename(controller.store.path(first.sha256))
    controller.assign("evaluator", evaluate_job("cheated", adapter=first))
    failed = controller.answer("cheated")
    assert isinstance(failed, JobFailed)
    assert "SHA-256" in failed.reason
    assert adapters_in(tmp_path / "own") == []


def test_a_host_that_cannot_read_the_nonce_gets_a_scratch_store(controller: MiniController, start_agent: StartAgent) -> None:
    controller.nonce = "another disk"
    agent = start_agent("trainer")
    controller.ready("trainer")
    adapter = trained(controller, "inner")
    assert controller.store.has(adapter.sha256)
    controller.send("trainer", Drain(reason="look"))
    controller.goodbye()
    assert agent.wait()[0] == 0
    joined = next(event for event in agent.events() if event["event"] == "agent_joined")
    assert joined["shared_store"] is False
    assert not Path(str(joined["store"])).exists()


def test_generation_engine_arguments_come_from_the_topology(controller: MiniController, start_agent: StartAgent) -> None:
    controller.topology = fake_topology(no_such_argument=1)
    exit_code, stderr = start_agent("proposer").wait_while(controller)
    assert exit_code == 2
    assert "no_such_argument" in stderr
    assert controller.goodbye().startswith("ConfigError: ")
