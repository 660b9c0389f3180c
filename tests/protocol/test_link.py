"""The agent's side of the conversation as pure decisions over a clock that the test holds."""

from protocol.codec import decode_to_controller, encode
from protocol.link import REGISTER_SECONDS, RESEND_SECONDS, AgentLink
from protocol.messages import (
    FromAgent,
    Goodbye,
    Heartbeat,
    JobAck,
    JobFailed,
    Pulse,
    Ready,
    Register,
    Reject,
    ToController,
    Welcome,
)

TIMEOUT_SECONDS = 15.0
REGISTER = Register(role="trainer", agent="", incarnation="i1", capacity=2, hostname="h", pid=1, gpus=(), package_version="0")
FAILED = JobFailed(job_id="j", attempt=1, error_type="E", reason="r", retryable=True)


def heartbeat(now: float, frames_dropped: int = 0) -> Heartbeat:
    return Heartbeat(state="idle", job_ids=(), step_age_seconds=now, gpu_memory_bytes=0, gpu_busy_share=None, frames_dropped=frames_dropped)


def welcome(run_id: str = "run-1") -> Welcome:
    return Welcome(agent="trainer-7", run_id=run_id, topology_json="", store_dir="", store_nonce="", heartbeat_seconds=2.0)


def sent(link: AgentLink, now: float) -> list[ToController]:
    messages = []
    while (frame := link.next_frame(now)) is not None:
        messages.append(decode_to_controller(frame))
    return messages


def submit(link: AgentLink, message: FromAgent, now: float) -> None:
    link.submit(message, encode(message), now)


def a_link() -> AgentLink:
    return AgentLink(REGISTER, controller_timeout_seconds=TIMEOUT_SECONDS, heartbeat=heartbeat, now=0.0)


def a_registered_link() -> AgentLink:
    link = a_link()
    link.connected(0.0)
    assert sent(link, 0.0) == [REGISTER]
    assert link.receive(welcome(), 0.0) == welcome()
    assert sent(link, 0.0) == [heartbeat(0.0)]
    return link


def kinds(messages: list[ToController]) -> list[str]:
    return [type(message).__name__ for message in messages]


def test_nothing_is_sent_without_a_connection() -> None:
    link = a_link()
    submit(link, Ready(capacity=1), 0.0)
    assert sent(link, 100.0) == []


def test_register_is_repeated_until_welcome_and_only_then_come_other_messages() -> None:
    link = a_link()
    link.connected(0.0)
    submit(link, FAILED, 0.0)
    submit(link, Goodbye(reason="queued"), 0.0)
    assert sent(link, 0.0) == [REGISTER]
    assert sent(link, REGISTER_SECONDS / 2) == []
    assert link.next_due(REGISTER_SECONDS / 2) == REGISTER_SECONDS / 2
    assert sent(link, REGISTER_SECONDS) == [REGISTER]
    link.receive(welcome(), REGISTER_SECONDS)
    assert kinds(sent(link, REGISTER_SECONDS)) == ["Heartbeat", "Goodbye", "JobFailed"]


def test_heartbeats_follow_the_interval_of_the_welcome() -> None:
    link = a_registered_link()
    assert link.next_due(0.5) == 1.5
    assert sent(link, 1.9) == []
    assert sent(link, 2.0) == [heartbeat(2.0)]


def test_a_heartbeat_interval_of_zero_leaves_room_for_other_messages() -> None:
    link = a_link()
    link.connected(0.0)
    sent(link, 0.0)
    link.receive(Welcome(agent="a", run_id="r", topology_json="", store_dir="", store_nonce="", heartbeat_seconds=0.0), 0.0)
    assert kinds(sent(link, 0.0)) == ["Heartbeat"]


def test_results_are_repeated_with_growing_pauses_until_acknowledged() -> None:
    link = a_registered_link()
    submit(link, FAILED, 0.0)
    times = []
    for now in range(60):
        times += [now] * sent(link, float(now)).count(FAILED)
        link.receive(Pulse(registered=True), float(now))
    assert times == [0, RESEND_SECONDS, 3 * RESEND_SECONDS, 7 * RESEND_SECONDS]
    assert link.num_owed == 1
    ack = JobAck(job_id="j", attempt=1)
    assert link.receive(JobAck(job_id="j", attempt=2), 60.0) is not None
    assert link.num_owed == 1
    assert link.receive(ack, 60.0) == ack
    assert link.num_owed == 0
    assert FAILED not in sent(link, 1000.0)


def test_a_reconnection_registers_again_under_the_given_name_and_repeats_ready_and_results() -> None:
    link = a_registered_link()
    submit(link, Ready(capacity=3), 0.0)
    submit(link, FAILED, 0.0)
    sent(link, 0.0)
    link.disconnected()
    assert sent(link, 1.0) == []
    link.connected(1.0)
    again = sent(link, 1.0)
    assert isinstance(again[0], Register)
    assert (again[0].agent, again[0].incarnation, len(again)) == ("trainer-7", "i1", 1)
    assert link.receive(welcome(), 1.0) is None, "the agent sees the first Welcome only"
    assert kinds(sent(link, 1.0)) == ["Heartbeat", "Ready", "JobFailed"]


def test_silence_and_an_unregistered_pulse_lead_to_registration() -> None:
    link = a_registered_link()
    assert "Register" not in kinds(sent(link, TIMEOUT_SECONDS))
    assert kinds(sent(link, TIMEOUT_SECONDS + 0.1)) == ["Register"]
    link.receive(welcome(), 20.0)
    assert "Register" not in kinds(sent(link, 20.0))
    link.receive(Pulse(registered=False), 21.0)
    assert kinds(sent(link, 21.0)) == ["Register"]
    link.receive(Pulse(registered=False), 21.1)
    assert sent(link, 21.1) == [], "a burst of pulses is one registration"


def test_a_ready_said_while_away_is_said_once_after_the_welcome() -> None:
    link = a_registered_link()
    link.connected(1.0)
    submit(link, Ready(capacity=1), 1.0)
    sent(link, 1.0)
    link.receive(welcome(), 1.0)
    assert kinds(sent(link, 1.0)).count("Ready") == 1


def test_another_run_at_the_endpoint_is_final() -> None:
    link = a_registered_link()
    answer = link.receive(welcome("run-2"), 1.0)
    assert isinstance(answer, Reject)
    assert "run-2" in answer.reason
    assert link.finished
    assert sent(link, 100.0) == []


def test_goodbye_is_last() -> None:
    link = a_registered_link()
    submit(link, FAILED, 0.0)
    link.say_goodbye("done")
    assert sent(link, 0.0) == [Goodbye(reason="done")]
    assert link.finished
    assert link.num_owed == 1
