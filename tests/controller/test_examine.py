"""What can be seen of a silent agent's process from outside."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_runtime.controller.events import AgentDiagnosed, AgentRegistered
from seal_runtime.controller.examine import Examiner, condition_of, dumped_calls, last_seen_calls, py_spy_calls, stack_file_text

HEADER = """main thread 0x00007f0000000001 of process {pid}
last seen: engines/adapt.py:88 step < agents/base.py:12 <module>      \n"""
SEEN = ("engines/adapt.py:88 step", "agents/base.py:12 <module>")
DUMP = f"""{HEADER}Timeout (0:00:07)!
Thread 0x00007f0000000001 (most recent call first):
  File "/srv/run/old.py", line 1 in before
Timeout (0:00:07)!
Thread 0x00007f0000000002 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
Thread 0x00007f0000000001 (most recent call first):
  File "/usr/lib/python3.11/re/__init__.py", line 166 in match
  File "/srv/run/agents/base.py", line 12 in <module>
"""
CALLS = ("re/__init__.py:166 match", "agents/base.py:12 <module>")


def agent(pid: int, name: str = "trainer-0", hostname: str = "") -> AgentRegistered:
    return AgentRegistered(
        agent=name, incarnation="i", role="trainer", capacity=1, hostname=hostname or socket.gethostname(), pid=pid, gpus=()
    )


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait(30)


def test_a_stopped_process_is_told_from_a_living_and_a_dead_one(sleeper: subprocess.Popen[bytes]) -> None:
    assert condition_of(agent(sleeper.pid)) is None
    os.kill(sleeper.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 30
    while (condition := condition_of(agent(sleeper.pid))) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert condition == f"stopped by a signal (`kill -CONT {sleeper.pid}` lets it go on)"
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert condition_of(agent(sleeper.pid)) == "dead, and its parent has not noticed"
    sleeper.wait(30)
    assert condition_of(agent(sleeper.pid)) == f"there is no process {sleeper.pid} on this host any more"


def test_of_another_host_nothing_is_claimed(tmp_path: Path) -> None:
    examiner = Examiner(tmp_path)
    diagnosed = examiner.examine(agent(1, hostname="far-away"), 0.0)
    assert diagnosed == AgentDiagnosed(
        agent="trainer-0", incarnation="i", condition="it is on far-away; is that host up and reachable?", stack=()
    )
    assert examiner.collect(0.0) == []


def test_the_stack_file_gives_the_main_threads_last_dump(tmp_path: Path) -> None:
    (tmp_path / "trainer-0.stack").write_text(DUMP.format(pid=os.getpid()))
    diagnosed = Examiner(tmp_path).examine(agent(os.getpid()), 0.0)
    assert diagnosed.stack == CALLS
    assert "C code in it keeps all Python threads from running" in diagnosed.condition


def test_a_stopped_process_has_left_where_it_was(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    (tmp_path / "trainer-0.stack").write_text(DUMP.format(pid=sleeper.pid))
    os.kill(sleeper.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 30
    while condition_of(agent(sleeper.pid)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    diagnosed = Examiner(tmp_path).examine(agent(sleeper.pid), 0.0)
    assert diagnosed.condition.startswith("stopped by a signal")
    assert diagnosed.stack == SEEN, "a dump of an earlier silence says nothing of it"


def test_a_living_process_without_a_dump_was_last_seen_somewhere(tmp_path: Path) -> None:
    (tmp_path / "trainer-0.stack").write_text(HEADER.format(pid=os.getpid()))
    diagnosed = Examiner(tmp_path).examine(agent(os.getpid()), 0.0)
    assert (diagnosed.condition, diagnosed.stack) == ("its process lives", SEEN)


def test_a_process_of_two_roles_has_one_stack_file(tmp_path: Path) -> None:
    (tmp_path / "proposer-0+evaluator-0.stack").write_text(DUMP.format(pid=7))
    for name in ("proposer-0", "evaluator-0"):
        assert dumped_calls(stack_file_text(tmp_path, agent(7, name))) == CALLS
    assert stack_file_text(tmp_path, agent(7, "evaluator")) == ""


def test_the_files_of_other_processes_and_damaged_ones_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trainer-0.stack"
    path.write_text(DUMP.format(pid=7))
    assert stack_file_text(tmp_path, agent(8)) == ""
    path.write_bytes(b"\xff\xfe garbage")
    assert stack_file_text(tmp_path, agent(7)) == ""
    path.unlink()
    path.mkdir()
    assert stack_file_text(tmp_path, agent(7)) == ""
    assert dumped_calls("") == last_seen_calls("") == dumped_calls(HEADER.format(pid=7)) == ()


def test_a_dump_without_the_main_thread_gives_no_calls() -> None:
    assert dumped_calls(DUMP.format(pid=7).replace("Thread 0x00007f0000000001", "Thread 0x00007f0000000003")) == ()


def test_py_spy_speaks_where_it_is_installed(tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "py-spy"
    tool.write_text(
        '#!/bin/sh\necho "Process $4: python"\necho \'Thread 9 (idle): "bus"\'\necho "    poll (zmq/poll.py:9)"\n'
        'echo \'Thread 8 (idle): "MainThread"\'\necho "    step (srv/engines/adapt.py:88)"\necho "    <module> (agents/__main__.py:1)"\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    examiner = Examiner(tmp_path)
    assert examiner.examine(agent(sleeper.pid), 0.0).stack == ()
    found: list[AgentDiagnosed] = []
    deadline = time.monotonic() + 30
    while not found:
        assert time.monotonic() < deadline
        found = examiner.collect(0.0)
        time.sleep(0.02)
    assert found[0].stack == ("engines/adapt.py:88 step", "agents/__main__.py:1 <module>")
    assert found[0].condition == "its process lives"
    examiner.close()


def test_a_py_spy_that_does_not_end_is_given_up(tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "py-spy"
    tool.write_text("#!/bin/sh\nexec sleep 600\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    examiner = Examiner(tmp_path)
    examiner.examine(agent(sleeper.pid), 0.0)
    assert examiner.collect(9.0) == []
    assert len(examiner._dumps) == 1
    assert examiner.collect(11.0) == []
    assert examiner._dumps == []
    examiner.examine(agent(sleeper.pid), 20.0)
    examiner.close()
    assert examiner._dumps == []


def test_what_py_spy_prints_of_other_threads_is_not_taken() -> None:
    assert py_spy_calls('Thread 1 (active): "bus"\n    poll (zmq/poll.py:9)\n') == ()
