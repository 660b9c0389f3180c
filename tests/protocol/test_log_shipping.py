"""Log lines to the controller: bounded, in order, after everything else; what is lost is counted."""

import json
import threading
from typing import Any

import pytest

from protocol.codec import decode_to_controller, encode
from protocol.errors import ProtocolError
from protocol.link import AgentLink
from protocol.log_shipping import BATCH_SECONDS, MAX_BATCH_CHARS, MAX_BATCH_LINES, MAX_WAITING_LINES, LogShipper
from protocol.messages import Goodbye, Heartbeat, JobAck, JobFailed, LogLines, Register, Welcome
from protocol.schema import MAX_LOG_LINE_CHARS

REGISTER = Register(role="trainer", agent="", incarnation="i1", capacity=2, hostname="h", pid=1, gpus=(), package_version="0")


def line(number: int, size: int = 0) -> str:
    return json.dumps({"event": "e", "n": number, "pad": "x" * size})


def taken(shipper: LogShipper, now: float, *, hurry: bool = False) -> tuple[list[int], int]:
    batch = shipper.take(now, hurry=hurry)
    if batch is None:
        return [], 0
    return [json.loads(text)["n"] for text in batch.lines], batch.num_dropped


def test_lines_leave_in_order_and_batches_are_spaced() -> None:
    shipper = LogShipper()
    assert shipper.seconds_until_due(0.0) is None
    for number in range(MAX_BATCH_LINES + 1):
        shipper.put(line(number))
    assert shipper.seconds_until_due(0.0) == 0.0
    assert taken(shipper, 0.0) == (list(range(MAX_BATCH_LINES)), 0)
    assert taken(shipper, 0.1) == ([], 0)
    assert shipper.seconds_until_due(0.1) == BATCH_SECONDS - 0.1
    assert taken(shipper, BATCH_SECONDS) == ([MAX_BATCH_LINES], 0)
    assert shipper.seconds_until_due(1.0) is None


def test_at_the_end_nothing_waits_for_its_time() -> None:
    shipper = LogShipper()
    shipper.put(line(0))
    taken(shipper, 0.0)
    shipper.put(line(1))
    assert taken(shipper, 0.0, hurry=True) == ([1], 0)


def test_a_batch_is_bounded_in_characters() -> None:
    shipper = LogShipper()
    for number in range(20):
        shipper.put(line(number, size=10_000))
    first = shipper.take(0.0, hurry=False)
    assert first is not None
    assert 0 < sum(map(len, first.lines)) <= MAX_BATCH_CHARS
    assert len(encode(first)) < 2 * MAX_BATCH_CHARS


def test_the_oldest_lines_give_way_and_are_counted_once() -> None:
    shipper = LogShipper()
    for number in range(MAX_WAITING_LINES + 5):
        shipper.put(line(number))
    assert taken(shipper, 0.0)[1] == 5
    assert taken(shipper, 1.0)[1] == 0
    big = LogShipper()
    for number in range(200):
        big.put(line(number, size=10_000))
    assert taken(big, 0.0)[1] == 200 - (1 << 20) // len(line(100, size=10_000))


def test_a_line_that_is_too_long_is_cut_and_stays_an_event() -> None:
    shipper = LogShipper()
    shipper.put(json.dumps({"time": "t", "level": "error", "event": "agent_failed", "exception": '"\\\u2603' * 20_000}))
    batch = shipper.take(0.0, hurry=False)
    assert batch is not None
    assert len(batch.lines[0]) <= MAX_LOG_LINE_CHARS
    fields = json.loads(batch.lines[0])
    assert (fields["time"], fields["level"], fields["event"]) == ("t", "error", "agent_failed")
    assert fields["cut_from_chars"] > MAX_LOG_LINE_CHARS
    assert decode_to_controller(encode(batch)) == batch


def test_threads_may_log_while_batches_leave() -> None:
    shipper = LogShipper()

    def write() -> None:
        for number in range(500):
            shipper.put(line(number))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    found, now = 0, 0.0
    while any(thread.is_alive() for thread in threads) or shipper.seconds_until_due(now) is not None:
        now += 1.0
        found += len(taken(shipper, now)[0])
    assert found == 2000


def a_registered_link() -> AgentLink:
    def heartbeat(now: float, frames_dropped: int) -> Heartbeat:
        return Heartbeat(
            state="idle", job_ids=(), step_age_seconds=0.0, gpu_memory_bytes=0, gpu_busy_share=None, frames_dropped=frames_dropped
        )

    link = AgentLink(REGISTER, controller_timeout_seconds=15.0, heartbeat=heartbeat, now=0.0)
    link.connected(0.0)
    link.next_frame(0.0)
    link.receive(Welcome(agent="a", run_id="r", topology_json="", store_dir="", store_nonce="", heartbeat_seconds=2.0), 0.0)
    return link


def kinds(link: AgentLink, now: float) -> list[str]:
    found = []
    while (frame := link.next_frame(now)) is not None:
        found.append(type(decode_to_controller(frame)).__name__)
    return found


def test_lines_go_last_and_never_without_a_registration() -> None:
    link, shipper = a_registered_link(), LogShipper()
    shipper.put(line(0))
    link.logs = shipper
    failed = JobFailed(job_id="j", attempt=1, error_type="E", reason="r", retryable=True)
    link.submit(failed, encode(failed), 0.0)
    assert kinds(link, 0.0) == ["Heartbeat", "JobFailed", "LogLines"]
    shipper.put(line(1))
    assert 0.0 < link.next_due(0.1) <= BATCH_SECONDS
    link.disconnected()
    assert kinds(link, 1.0) == []
    assert not link.owes_logs(1.0), "nobody is there to hear them"


def test_the_end_waits_for_lines_and_hurries_them() -> None:
    link, shipper = a_registered_link(), LogShipper()
    link.logs = shipper
    shipper.put(line(0))
    assert kinds(link, 0.0) == ["Heartbeat", "LogLines"]
    shipper.put(line(1))
    assert link.owes_logs(0.0)
    assert kinds(link, 0.0) == ["LogLines"]
    assert not link.owes_logs(0.0)
    link.say_goodbye("over")
    assert kinds(link, 0.0) == [Goodbye.__name__]
    link.receive(JobAck(job_id="j", attempt=1), 0.0)


@pytest.mark.parametrize("lines", [("x" * (MAX_LOG_LINE_CHARS + 1),), (5,), "text"])
def test_the_wire_refuses_what_is_no_line(lines: Any) -> None:
    with pytest.raises(ProtocolError):
        encode(LogLines(lines=lines, num_dropped=0))
