"""Find out why an agent of this host is silent, from outside its process: its state as the kernel knows it, and where it hangs.

The stack comes from the file that the agent's own C watchdog writes while no Python thread of it runs (`agents.stacks`), or from py-spy
where that is installed. Everything here is read-only and bounded in time; an agent of another host is only said to be there.
"""

import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from seal_runtime.calls import MAX_CALLS, call_text
from seal_runtime.controller.events import AgentDiagnosed, AgentRegistered

PY_SPY_SECONDS = 10.0
"""py-spy is given up after so long; the controller does not wait for it meanwhile."""
MAX_STACK_FILE_BYTES = 1 << 20
_PROC = Path("/proc")
_HEADER = re.compile(r"main thread (?P<thread>0x[0-9a-f]+) of process (?P<pid>\d+)\nlast seen: (?P<calls>.*)")
_CALL = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
_PY_SPY_CALL = re.compile(r"^    (.+) \((.+):(\d+)\)$", re.MULTILINE)
_STATES = {
    "T": "stopped by a signal (`kill -CONT {pid}` lets it go on)",
    "t": "held by a debugger",
    "D": "waits in the kernel and cannot be interrupted (a disk or a device does not answer)",
    "Z": "dead, and its parent has not noticed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dump:
    """A py-spy under way, and what is known without it."""

    process: subprocess.Popen[str]
    agent: AgentRegistered
    condition: str
    deadline: float


class Examiner:
    """Looks at silent agents. `logs` is where those of this run write their stack files."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._py_spy = shutil.which("py-spy")
        self._dumps: list[_Dump] = []

    def examine(self, agent: AgentRegistered, now: float) -> AgentDiagnosed:
        """Return what can be said at once; py-spy's answer may follow from `collect`."""
        condition, text = condition_of(agent), stack_file_text(self._logs, agent)
        stack = dumped_calls(text) if condition is None else ()
        if condition is None:
            condition = "its process lives, and C code in it keeps all Python threads from running" if stack else "its process lives"
        if not stack:
            if self._py_spy is not None and agent.hostname == socket.gethostname():
                self._start_py_spy(self._py_spy, agent, condition, now)
            stack = last_seen_calls(text)
        return AgentDiagnosed(agent=agent.agent, incarnation=agent.incarnation, condition=condition, stack=stack)

    def collect(self, now: float) -> list[AgentDiagnosed]:
        """Return what py-spy has found since the last call."""
        found, waiting = [], []
        for dump in self._dumps:
            if dump.process.poll() is None and now < dump.deadline:
                waiting.append(dump)
                continue
            stack = py_spy_calls(_end(dump.process))
            if stack:
                agent = dump.agent
                found.append(AgentDiagnosed(agent=agent.agent, incarnation=agent.incarnation, condition=dump.condition, stack=stack))
        self._dumps = waiting
        return found

    def close(self) -> None:
        """End what is under way."""
        for dump in self._dumps:
            _end(dump.process)
        self._dumps = []

    def _start_py_spy(self, py_spy: str, agent: AgentRegistered, condition: str, now: float) -> None:
        command = [py_spy, "dump", "--nonblocking", "--pid", str(agent.pid)]
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
            )
        except OSError:
            self._py_spy = None
            return
        self._dumps.append(_Dump(process=process, agent=agent, condition=condition, deadline=now + PY_SPY_SECONDS))


def condition_of(agent: AgentRegistered) -> str | None:
    """Return why an agent's process cannot speak, as far as the kernel knows; None when it could."""
    if agent.hostname != socket.gethostname():
        return f"it is on {agent.hostname}; is that host up and reachable?"
    if not (_PROC / "self").exists():
        return None
    try:
        status = (_PROC / str(agent.pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"there is no process {agent.pid} on this host any more"
    state = re.search(r"^State:\s+(\S)", status, re.MULTILINE)
    text = _STATES.get(state[1]) if state is not None else None
    return None if text is None else text.format(pid=agent.pid)


def stack_file_text(logs: Path, agent: AgentRegistered) -> str:
    """Return what the agent's process has left in its stack file, "" when there is none. One that serves two roles has `A+B.stack`."""
    for path in logs.glob("*.stack"):
        try:
            if agent.agent not in path.stem.split("+") or path.stat().st_size > MAX_STACK_FILE_BYTES:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        header = _HEADER.match(text)
        if header is not None and int(header["pid"]) == agent.pid:
            return text
    return ""


def dumped_calls(text: str) -> tuple[str, ...]:
    """Return the main thread's calls in the last dump of faulthandler in a stack file, innermost first; none without a dump."""
    header, last = _HEADER.match(text), text.rpartition("Timeout (")[2]
    if header is None or len(last) == len(text):
        return ()
    for block in re.split(r"^(?:Current thread|Thread) ", last, flags=re.MULTILINE)[1:]:
        if block.startswith(header["thread"]):
            return tuple(call_text(path, line, name) for path, line, name in _CALL.findall(block)[:MAX_CALLS])
    return ()


def last_seen_calls(text: str) -> tuple[str, ...]:
    """Return where a stack file saw the main thread last, innermost first."""
    header = _HEADER.match(text)
    return () if header is None else tuple(header["calls"].strip().split(" < "))


def py_spy_calls(text: str) -> tuple[str, ...]:
    """Return the main thread's calls in what `py-spy dump` printed, innermost first."""
    for block in re.split(r"^Thread ", text, flags=re.MULTILINE)[1:]:
        if '"MainThread"' in block.partition("\n")[0]:
            return tuple(call_text(path, line, name) for name, path, line in _PY_SPY_CALL.findall(block)[:MAX_CALLS])
    return ()


def _end(process: subprocess.Popen[str]) -> str:
    """Kill a process if it still runs; return what it printed."""
    if process.poll() is None:
        process.kill()
    try:
        return process.communicate(timeout=1.0)[0]
    except subprocess.TimeoutExpired:
        return ""
