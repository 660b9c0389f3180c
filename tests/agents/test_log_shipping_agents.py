"""An agent that cannot write in the run's directory sends what it logs; one that can does not."""

import json
import shutil
from pathlib import Path

from mini_controller import MiniController, StartAgent

from agents.far_logs import writes_in_run
from protocol.messages import Drain, Goodbye, LogLines, Welcome


def shipped(controller: MiniController) -> list[dict[str, object]]:
    return [json.loads(text) for message in controller.received if isinstance(message, LogLines) for text in message.lines]


def test_a_far_agent_sends_its_lines_to_the_last(controller: MiniController, start_agent: StartAgent) -> None:
    agent = start_agent("critic")
    controller.ready("critic")
    controller.pump(lambda: any(line["event"] == "agent_ready" for line in shipped(controller)))
    controller.send("critic", Drain(reason="enough"))
    controller.goodbye()
    assert agent.wait()[0] == 0
    sent = shipped(controller)
    assert [line["event"] for line in sent[:1]] == ["agent_joined"]
    assert "drain_begun" in [line["event"] for line in sent], "what was logged just before the end arrives too"
    assert {line["agent"] for line in sent} == {"critic"}
    assert isinstance(controller.received[-1], Goodbye), "lines go before the goodbye"
    own = agent.events()
    assert own[: len(sent)] == sent, "its own file has the same lines"


def test_only_the_run_s_own_folder_counts_as_the_run_s(tmp_path: Path) -> None:
    welcome = Welcome(agent="a", run_id="r", topology_json="", store_dir="/x", store_nonce="secret", heartbeat_seconds=1.0)
    run = tmp_path / "run"
    (run / "adapters").mkdir(parents=True)
    (run / "adapters" / ".nonce").write_text("secret\n")
    assert writes_in_run(run / "logs" / "a.jsonl", welcome)
    assert not writes_in_run(None, welcome)
    assert not writes_in_run(run / "elsewhere" / "a.jsonl", welcome)
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "adapters" / ".nonce").write_text("another")
    assert not writes_in_run(copy / "logs" / "a.jsonl", welcome)
    (copy / "adapters" / ".nonce").write_bytes(b"\xff\xfe")
    assert not writes_in_run(copy / "logs" / "a.jsonl", welcome)
