"""vLLM in a process of its own: it never outlives its agent, its death ends the agent, and its failures are told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "agents"))

from engine_processes import spawned_engines
from jobs_for_tests import evaluate_job, propose_job
from mini_controller import AgentProcess, MiniController

from protocol.jobs import EvaluateResult, ProposeResult
from protocol.messages import Ready, StackReport
from seal_runtime.config.agents import EvaluatorConfig, ProposerConfig
from seal_runtime.config.topology import LimitsConfig, Topology
from seal_runtime.engines import vllm_child
from seal_runtime.engines.factory import make_generation_engine
from seal_runtime.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 240.0
pytestmark = pytest.mark.timeout(600)
SMALL = {"max_loras": 2, "max_lora_rank": 8, "max_num_seqs": 16}


def _until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.05)


def _descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_this_environment_has_the_entry_point_that_vllm_calls() -> None:
    assert vllm_child.is_installed(), "pip install --no-deps -e . in the repository"


def test_an_agent_serves_both_roles_over_one_vllm_which_dies_with_it_when_it_is_killed(tmp_path: Path) -> None:
    """With a worker below vLLM's process, as tensor parallelism has them."""
    proposer = ProposerConfig(engine="vllm", engine_mode="async", engine_args={**SMALL, "distributed_executor_backend": "mp"})
    controller = MiniController(tmp_path, Topology(proposer=proposer, evaluator=EvaluatorConfig(engine="vllm", share_engine=True)))
    agent = AgentProcess("proposer+evaluator", controller, name="proposer-0+evaluator-0")  # type: ignore[arg-type]
    try:
        _pump(controller, agent, lambda: sum(isinstance(message, Ready) for message in controller.received) == 2)
        assert len(spawned_engines(agent.process.pid, recursive=False)) == 1, "both roles have one engine"
        controller.assign("proposer-0", propose_job())
        controller.assign("evaluator-0", evaluate_job())
        assert isinstance(controller.result("round-1/c/propose"), ProposeResult)
        assert isinstance(controller.result("round-1/c/e0/r0/evaluate"), EvaluateResult)
        children = _descendants(agent.process.pid)
        assert len(children) > len(psutil.Process(agent.process.pid).children())
        agent.process.send_signal(signal.SIGKILL)
        _until(lambda: all(map(_is_gone, children)), "the killed agent's children are gone")
    finally:
        agent.kill()
        controller.close()


def test_an_agent_that_is_killed_while_vllm_starts_leaves_nothing() -> None:
    code = (
        "from seal_runtime.engines.factory import make_generation_engine\n"
        f"make_generation_engine('vllm', model='builtin:seal-tiny', mode='async', engine_args={SMALL!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=_environment())
    try:
        _until(lambda: spawned_engines(process.pid, recursive=True), "a child is there")
        children = _descendants(process.pid)
    finally:
        process.kill()
        process.wait()
    _until(lambda: all(map(_is_gone, children)), "the children are gone")


def test_vllm_that_is_stuck_is_told_with_a_stack_and_its_death_ends_its_agent_without_a_goodbye(tmp_path: Path) -> None:
    proposer = ProposerConfig(engine="vllm", engine_mode="async", engine_args={**SMALL, "enable_lora": False})
    controller = MiniController(tmp_path, Topology(proposer=proposer, limits=LimitsConfig(stuck_seconds=2.0)))
    agent = AgentProcess("proposer", controller)
    try:
        _pump(controller, agent, lambda: any(isinstance(message, Ready) for message in controller.received))
        vllm = max(_descendants(agent.process.pid), key=_rss)
        vllm.suspend()
        controller.assign("proposer", propose_job())
        _pump(controller, agent, lambda: any("_wait_for_sign_of_life" in call for call in _stuck_at(controller)))
        vllm.kill()
        exit_code, stderr = agent.wait_while(controller)
        assert exit_code == 1
        assert "vLLM's process is gone" in stderr
        assert controller.answers("round-1/c/propose") == []
        assert any(event["event"] == "engine_died" for event in agent.events())
    finally:
        agent.kill()
        controller.close()


def test_too_little_memory_is_told_in_words_that_the_child_has_found() -> None:
    with pytest.raises(ConfigError, match="not enough memory; lower"):
        make_generation_engine("vllm", model="builtin:seal-tiny", mode="async", engine_args={**SMALL, "kv_cache_memory_bytes": 1024})


def _pump(controller: MiniController, agent: AgentProcess, until: Callable[[], bool]) -> None:
    """Serve for longer than a minute: vLLM starts slowly on a busy machine."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not until():
        assert agent.process.poll() is None, agent.wait()[1][-2000:]
        assert time.monotonic() < deadline
        step = time.monotonic() + 1.0
        controller.pump(lambda step=step: until() or time.monotonic() > step)


def _stuck_at(controller: MiniController) -> list[str]:
    return [call for message in controller.received if isinstance(message, StackReport) for call in message.stack]


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
