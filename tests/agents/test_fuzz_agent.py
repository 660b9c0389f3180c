"""A real agent process under malformed and senseless frames from the controller's side: it goes on and does its jobs."""

from pathlib import Path

from hostile_frames import CHUNK, SHA256, TO_AGENT, TO_CONTROLLER, FrameForge
from jobs_for_tests import adapt_job, propose_job
from mini_controller import MiniController, StartAgent

from protocol.codec import encode
from protocol.jobs import AdaptResult
from protocol.messages import (
    BlobAck,
    BlobChunk,
    BlobError,
    BlobGet,
    Cancel,
    Goodbye,
    Heartbeat,
    JobAck,
    JobDone,
    JobFailed,
    Pulse,
    Ready,
    Register,
    ToAgent,
    Welcome,
)

NUM_FRAMES = 50_000


def test_an_agent_survives_malformed_and_senseless_frames(controller: MiniController, start_agent: StartAgent, tmp_path: Path) -> None:
    agent = start_agent("trainer")
    controller.ready("trainer")
    peer, socket = controller.peers["trainer"], controller.socket._socket
    socket.sndtimeo = 60_000
    forge = FrameForge(5, TO_AGENT, TO_CONTROLLER)
    senseless: list[ToAgent] = [
        Pulse(registered=True),
        JobAck(job_id="../../x", attempt=2**62),
        Cancel(job_id="no such job", attempt=0),
        CHUNK,
        BlobAck(sha256=SHA256, file="adapter_config.json", next_offset=2**62, complete=True),
        BlobError(sha256=SHA256, reason="x" * 20_000),
        Welcome(agent="other", run_id="test-run", topology_json="{", store_dir="/", store_nonce="", heartbeat_seconds=0.2),
    ]
    files = sorted(path for path in tmp_path.rglob("*"))
    for _ in range(NUM_FRAMES // 1000):
        for parts in forge.frames(1000):
            socket.send_multipart([peer, *parts])
        for message in senseless:
            socket.send_multipart([peer, encode(message)])
        controller.pump(lambda: True)

    controller.pump(lambda: (beat := controller.last_heartbeat()) is not None and beat.frames_dropped >= NUM_FRAMES)
    last = controller.last_heartbeat()
    assert last is not None
    assert (last.frames_dropped, last.job_ids, last.state) == (NUM_FRAMES, (), "idle")
    told = {type(message) for message in controller.received}
    assert {Register, Ready, Heartbeat} <= told
    assert not told & {JobDone, JobFailed, BlobGet, BlobChunk, Goodbye}, "nothing was done, fetched or left"
    assert sum(isinstance(message, Register) for message in controller.received) == 1
    assert sorted(path for path in tmp_path.rglob("*")) == files

    controller.assign("trainer", propose_job("not for a trainer"))
    refusal = controller.answer("not for a trainer")
    assert isinstance(refusal, JobFailed)
    assert "expected a job for a trainer" in refusal.reason
    controller.assign("trainer", adapt_job("../../../etc/passwd"))
    result = controller.result("../../../etc/passwd")
    assert isinstance(result, AdaptResult)
    new = set(tmp_path.rglob("*")) - set(files)
    assert {path.relative_to(tmp_path).parts[:2] for path in new} == {("adapters", result.adapter.sha256)}
    agent.terminate()
    assert agent.wait_while(controller)[0] == 0
