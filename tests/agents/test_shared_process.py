"""One process that is proposer and evaluator: two agents on the bus, one engine, one life."""

import signal

import pytest
from jobs_for_tests import evaluate_job, propose_job
from mini_controller import MiniController, StartAgent, fake_topology

from protocol.jobs import EvaluateResult, ProposeResult
from protocol.messages import Drain, Goodbye, Ready, Register, Reject, Shutdown
from seal_runtime.config.topology import ModelConfig

NAMES = ("proposer-3", "evaluator-3")


def both_ready(controller: MiniController) -> None:
    controller.pump(lambda: sum(isinstance(message, Ready) for message in controller.received) == 2)


def goodbyes(controller: MiniController) -> list[str]:
    return [message.reason for message in controller.received if isinstance(message, Goodbye)]


def test_it_registers_both_roles_with_one_pid_and_serves_both(controller: MiniController, start_agent: StartAgent) -> None:
    agent = start_agent("proposer+evaluator", name="+".join(NAMES))
    both_ready(controller)
    registered = {message.agent: message for message in controller.received if isinstance(message, Register)}
    assert {name: (found.role, found.pid) for name, found in registered.items()} == {
        "proposer-3": ("proposer", agent.process.pid),
        "evaluator-3": ("evaluator", agent.process.pid),
    }
    assert sorted(message.capacity for message in controller.received if isinstance(message, Ready)) == [16, 32]
    controller.assign("proposer-3", propose_job())
    controller.assign("evaluator-3", evaluate_job())
    assert isinstance(controller.result("round-1/c/propose"), ProposeResult)
    assert isinstance(controller.result("round-1/c/e0/r0/evaluate"), EvaluateResult)
    for name in NAMES:
        controller.send(name, Shutdown(reason="the run is done"))
    assert agent.wait_while(controller) == (0, "")
    assert goodbyes(controller) == ["shut down: the run is done"] * 2
    finished = {event["job"]: (event["role"], event["agent"]) for event in agent.events() if event["event"] == "job_finished"}
    assert finished == {
        "round-1/c/propose": ("proposer", "proposer-3"),
        "round-1/c/e0/r0/evaluate": ("evaluator", "evaluator-3"),
    }


@pytest.mark.parametrize(("first", "second"), [NAMES, NAMES[::-1]])
def test_one_role_leaves_and_the_other_goes_on_until_it_leaves_too(
    controller: MiniController, start_agent: StartAgent, first: str, second: str
) -> None:
    controller.topology = fake_topology(delay_seconds=0.2)
    agent = start_agent("proposer+evaluator", name="+".join(NAMES))
    both_ready(controller)
    jobs = {"proposer-3": propose_job("p1"), "evaluator-3": evaluate_job("e1")}
    for name, job in jobs.items():
        controller.assign(name, job)
    controller.send(first, Drain(reason="make room"))
    assert controller.goodbye() == "drained: make room"
    assert controller.answers(jobs[first].job_id), "what was held is finished first"
    after = propose_job("p2") if second == "proposer-3" else evaluate_job("e2")
    controller.assign(second, after)
    controller.result(after.job_id)
    assert agent.process.poll() is None
    controller.send(second, Drain(reason="you too"))
    assert agent.wait_while(controller)[0] == 0
    assert goodbyes(controller) == ["drained: make room", "drained: you too"]


def test_sigterm_says_goodbye_for_both(controller: MiniController, start_agent: StartAgent) -> None:
    controller.topology = fake_topology(delay_seconds=3600.0)
    agent = start_agent("proposer+evaluator", name="+".join(NAMES))
    both_ready(controller)
    controller.assign("proposer-3", propose_job())
    agent.terminate()
    assert agent.wait_while(controller) == (0, "")
    controller.pump(lambda: len(goodbyes(controller)) == 2)
    assert set(goodbyes(controller)) == {"stopped by SIGTERM"}


def test_a_killed_process_takes_both_roles_with_it_and_comes_back_with_both(controller: MiniController, start_agent: StartAgent) -> None:
    agent = start_agent("proposer+evaluator", name="+".join(NAMES))
    both_ready(controller)
    agent.process.send_signal(signal.SIGKILL)
    agent.wait_while(controller)
    assert goodbyes(controller) == []
    controller.received.clear()
    start_agent("proposer+evaluator", name="+".join(NAMES))
    both_ready(controller)
    controller.assign("evaluator-3", evaluate_job())
    assert isinstance(controller.result("round-1/c/e0/r0/evaluate"), EvaluateResult)


def test_a_refusal_of_one_role_ends_both(controller: MiniController, start_agent: StartAgent) -> None:
    agent = start_agent("proposer+evaluator", name="+".join(NAMES))
    both_ready(controller)
    controller.send("evaluator-3", Reject(reason="no more evaluators"))
    exit_code, stderr = agent.wait_while(controller)
    assert exit_code == 1
    assert "the controller refused this evaluator: no more evaluators" in stderr


def test_the_controller_may_choose_the_names(controller: MiniController, start_agent: StartAgent) -> None:
    start_agent("proposer+evaluator", "--name", "")
    both_ready(controller)
    assert set(controller.peers) == {"proposer", "evaluator"}


@pytest.mark.parametrize("kind", ["fake", "transformers"])
def test_answers_are_those_of_two_processes(controller: MiniController, start_agent: StartAgent, kind: str) -> None:
    if kind == "transformers":
        topology = fake_topology()
        sections = {"proposer": topology.proposer, "evaluator": topology.evaluator}
        update = {role: section.model_copy(update={"engine": kind, "engine_args": {}}) for role, section in sections.items()}
        controller.topology = topology.model_copy(update={**update, "model": ModelConfig(path="builtin:seal-tiny")})
    results = []
    for roles in (("proposer+evaluator",), ("proposer", "evaluator")):
        controller.received.clear()
        started = [start_agent(role, name="+".join(f"{part}-{len(roles)}" for part in role.split("+"))) for role in roles]
        both_ready(controller)
        for index in range(3):
            controller.assign(f"proposer-{len(roles)}", propose_job(f"p{index}", prompt=f"Topic: {index}"))
            controller.assign(f"evaluator-{len(roles)}", evaluate_job(f"e{index}"))
        results.append([controller.result(f"{kind}{index}") for kind in "pe" for index in range(3)])
        for agent in started:
            agent.kill()
    assert results[0] == results[1]
