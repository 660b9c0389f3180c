"""Agents as real processes on a real socket: from the registration to the goodbye, for every way to end."""

import signal
import time
from pathlib import Path

import pytest
from jobs_for_tests import adapt_job, credit_job, evaluate_job, propose_job
from mini_controller import MiniController, StartAgent, fake_topology

from agents.__main__ import EXIT_DISMISSED
from protocol.jobs import AdaptResult, CreditResult, EvaluateResult, ProposeResult, Role
from protocol.messages import Cancel, Drain, Heartbeat, JobFailed, Ready, Register, Reject, Shutdown


def test_a_proposer_registers_serves_and_is_shut_down(controller: MiniController, start_agent: StartAgent) -> None:
    agent = start_agent("proposer", name="proposer-7")
    controller.ready("proposer-7")
    register = next(message for message in controller.received if isinstance(message, Register))
    assert (register.role, register.pid, register.gpus) == ("proposer", agent.process.pid, ())
    assert next(message.capacity for message in controller.received if isinstance(message, Ready)) == 16
    controller.assign("proposer-7", propose_job())
    result = controller.result("round-1/c/propose")
    assert isinstance(result, ProposeResult)
    assert len(result.edits) == 3
    controller.send("proposer-7", Shutdown(reason="the run is done"))
    assert controller.goodbye() == "shut down: the run is done"
    assert agent.wait() == (0, "")
    finished = next(event for event in agent.events() if event["event"] == "job_finished")
    assert {key: finished[key] for key in ("role", "agent", "run", "round", "job", "study")} == {
        "role": "proposer", "agent": "proposer-7", "run": "test-run", "round": 1, "job": "round-1/c/propose", "study": "round-1",
    }  # fmt: skip


def test_a_critic_serves(controller: MiniController, start_agent: StartAgent) -> None:
    start_agent("critic")
    controller.ready("critic")
    controller.assign("critic", credit_job())
    result = controller.result("round-1/credit")
    assert isinstance(result, CreditResult)
    assert result.update is not None


def test_a_trainer_and_an_evaluator_share_the_store(controller: MiniController, start_agent: StartAgent) -> None:
    start_agent("trainer")
    start_agent("evaluator")
    controller.ready("trainer")
    controller.assign("trainer", adapt_job())
    adapted = controller.result("round-1/c/e0/r0/adapt")
    assert isinstance(adapted, AdaptResult)
    assert controller.store.has(adapted.adapter.sha256)
    controller.pump(lambda: "evaluator" in controller.peers)
    controller.assign("evaluator", evaluate_job(adapter=adapted.adapter))
    graded = controller.result("round-1/c/e0/r0/evaluate")
    assert isinstance(graded, EvaluateResult)
    assert graded.receipt.adapter_sha256 == adapted.adapter.sha256
    assert controller.store.has(adapted.adapter.sha256), "the run's store is the controller's to clean"


def test_shutdown_drops_what_is_held(controller: MiniController, start_agent: StartAgent) -> None:
    controller.topology = fake_topology(delay_seconds=3600.0)
    agent = start_agent("proposer")
    controller.ready("proposer")
    controller.assign("proposer", propose_job())
    controller.send("proposer", Shutdown(reason="stop now"))
    assert controller.goodbye() == "shut down: stop now"
    assert controller.answers("round-1/c/propose") == []
    assert agent.wait() == (0, "")


def test_an_agent_of_the_launcher_tells_it_that_the_controller_dismissed_it(controller: MiniController, start_agent: StartAgent) -> None:
    agent = start_agent("critic", "--die-with-parent")
    controller.ready("critic")
    controller.send("critic", Shutdown(reason="the run is over"))
    assert agent.wait() == (EXIT_DISMISSED, "")


def test_drain_finishes_what_is_held_and_leaves(controller: MiniController, start_agent: StartAgent) -> None:
    controller.topology = fake_topology(delay_seconds=0.3)
    agent = start_agent("proposer")
    controller.ready("proposer")
    for index in range(3):
        controller.assign("proposer", propose_job(f"job-{index}"))
    controller.send("proposer", Drain(reason="make room"))
    assert controller.goodbye() == "drained: make room"
    assert [len(controller.answers(f"job-{index}")) for index in range(3)] == [1, 1, 1]
    assert agent.wait()[0] == 0


@pytest.mark.parametrize("role", ["proposer", "trainer", "evaluator", "critic"])
def test_sigterm_says_goodbye_within_two_seconds(controller: MiniController, start_agent: StartAgent, role: Role) -> None:
    controller.topology = fake_topology(delay_seconds=3600.0)
    agent = start_agent(role)
    controller.ready(role)
    if role == "proposer":
        controller.assign(role, propose_job())
        controller.pump(lambda: (beat := controller.last_heartbeat()) is not None and beat.job_ids == ("round-1/c/propose",))
        assert (beat := controller.last_heartbeat()) is not None
        assert beat.state == "busy"
    agent.terminate()
    assert controller.goodbye() == "stopped by SIGTERM"
    assert agent.wait() == (0, "")


@pytest.mark.parametrize(("extra", "ends"), [((), True), (("--die-with-parent",), False)])
def test_ctrl_c_ends_an_agent_started_by_hand_and_is_left_to_the_launcher_otherwise(
    controller: MiniController, start_agent: StartAgent, extra: tuple[str, ...], ends: bool
) -> None:
    agent = start_agent("critic", *extra)
    controller.ready("critic")
    agent.process.send_signal(signal.SIGINT)
    if not ends:
        controller.assign("critic", credit_job())
        assert isinstance(controller.result("round-1/credit"), CreditResult)
        agent.terminate()
    assert controller.goodbye() == ("stopped by SIGINT" if ends else "stopped by SIGTERM")
    assert agent.wait() == (0, "")


def test_a_cancelled_job_is_never_answered(controller: MiniController, start_agent: StartAgent) -> None:
    controller.topology = fake_topology(delay_seconds=0.5)
    start_agent("proposer")
    controller.ready("proposer")
    controller.assign("proposer", propose_job("gone"))
    controller.assign("proposer", propose_job("stays"))
    controller.send("proposer", Cancel(job_id="gone", attempt=1))
    controller.send("proposer", Cancel(job_id="stays", attempt=7))
    controller.result("stays")
    controller.send("proposer", Drain(reason="look"))
    controller.goodbye()
    assert controller.answers("gone") == []


def test_a_job_assigned_twice_is_answered_once_with_the_last_attempt(controller: MiniController, start_agent: StartAgent) -> None:
    controller.topology = fake_topology(delay_seconds=0.5)
    start_agent("proposer")
    controller.ready("proposer")
    for attempt in (1, 1, 2):
        controller.assign("proposer", propose_job(), attempt)
    controller.result("round-1/c/propose")
    controller.send("proposer", Drain(reason="look"))
    controller.goodbye()
    assert [answer.attempt for answer in controller.answers("round-1/c/propose")] == [2]


def test_a_failing_job_fails_alone(controller: MiniController, start_agent: StartAgent) -> None:
    controller.topology = fake_topology(fail_substring="poison", fail_retryable=False)
    start_agent("proposer")
    controller.ready("proposer")
    controller.assign("proposer", propose_job("bad", prompt="poison"))
    controller.assign("proposer", credit_job("misdirected"))
    controller.assign("proposer", propose_job("good"))
    failed, misdirected = controller.answer("bad"), controller.answer("misdirected")
    assert isinstance(failed, JobFailed)
    assert (failed.error_type, failed.retryable) == ("GenerateError", False)
    assert isinstance(misdirected, JobFailed)
    assert "expected a job for a proposer, got CreditJob" in misdirected.reason
    assert isinstance(controller.result("good"), ProposeResult)


def test_heartbeats_carry_the_state(controller: MiniController, start_agent: StartAgent) -> None:
    start_agent("critic")
    controller.ready("critic")
    controller.pump(lambda: (beat := controller.last_heartbeat()) is not None and beat.state == "idle")
    assert all(message.job_ids == () for message in controller.received if isinstance(message, Heartbeat))


def test_a_rejected_agent_says_why(controller: MiniController, start_agent: StartAgent) -> None:
    agent = start_agent("critic")
    controller.ready("critic")
    controller.send("critic", Reject(reason="too many critics"))
    exit_code, stderr = agent.wait()
    assert exit_code == 1
    assert "error: the controller refused this critic: too many critics" in stderr


def test_an_agent_gives_up_when_its_controller_vanishes(controller: MiniController, start_agent: StartAgent) -> None:
    agent = start_agent("critic", "--controller-timeout", "1.5")
    controller.ready("critic")
    controller.close()
    exit_code, stderr = agent.wait()
    controller.listen()
    assert exit_code == 1
    assert "no word from the controller for" in stderr


def test_an_agent_finds_its_controller_again_and_keeps_its_work(controller: MiniController, start_agent: StartAgent) -> None:
    controller.topology = fake_topology(delay_seconds=1.0)
    start_agent("proposer")
    controller.ready("proposer")
    controller.assign("proposer", propose_job())
    controller.pump(lambda: (beat := controller.last_heartbeat()) is not None and bool(beat.job_ids))
    controller.close()
    controller.received.clear()
    controller.listen()
    controller.ready("proposer")
    assert isinstance(controller.result("round-1/c/propose"), ProposeResult)


def test_an_agent_waits_for_the_connection_file(controller: MiniController, start_agent: StartAgent) -> None:
    away = controller.connection_file.rename(controller.folder / "away.json")
    agent = start_agent("critic")
    deadline = time.monotonic() + 0.5
    controller.pump(lambda: time.monotonic() > deadline)
    assert agent.process.poll() is None
    away.rename(controller.connection_file)
    controller.ready("critic")


def test_a_missing_connection_file_is_a_clear_error(controller: MiniController, start_agent: StartAgent, tmp_path: Path) -> None:
    controller.connection_file.unlink()
    exit_code, stderr = start_agent("critic", "--controller-timeout", "0.1").wait()
    assert exit_code == 1
    assert stderr.startswith(f"error: no connection file {controller.connection_file}")
