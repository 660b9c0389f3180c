"""Small processes that stand in for controller and agents, and what the tests of the back-end share."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from launch.local import Bus, Grace, LocalBackend
from launch.specs import AgentSpec

DEADLINE_SECONDS = 30.0
QUICK = Grace(after_request=5.0, after_sigterm=5.0, after_end=5.0, after_sigkill=5.0)

SERVE = "import os, pathlib, time\npathlib.Path('served').write_text(str(os.getpid()))\n"
FOREVER = "import time\nwhile True:\n    time.sleep(60)\n"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\nwhile True:\n    time.sleep(60)\n"
POLITE = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def pid_in(path: Path) -> int | None:
    """Return the pid that a process wrote into a file, None until it did."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def spec(folder: Path, name: str, code: str, role: str = "trainer") -> AgentSpec:
    """Return a process that runs Python code in the folder and first writes its pid into `<name>.pid`, one line a life."""
    head = f"import os\nos.chdir({str(folder)!r})\nopen('{name}.lives', 'a').write(f'{{os.getpid()}}\\n')\n"
    return AgentSpec(name=name, role=role, argv=(sys.executable, "-c", head + code), env={}, gpus=())  # type: ignore[arg-type]


def lives(folder: Path, name: str) -> list[int]:
    """Return the pids of all lives of a dummy."""
    path = folder / f"{name}.lives"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def backend(folder: Path, controller: str, agents: dict[str, str], *, max_restarts: int = 3, stop_request: bool = False) -> LocalBackend:
    """Return a back-end of dummies. The controller serves once the file `served` holds its pid; a stop request touches `stop`."""

    def ask_to_stop(reason: str) -> bool:
        (folder / "stop").write_text(reason)
        return stop_request

    return LocalBackend(
        spec(folder, "controller", controller, "controller"),
        [spec(folder, name, code, name.partition("-")[0]) for name, code in agents.items()],
        bus=Bus(serves=lambda pid: pid_in(folder / "served") == pid, ask_to_stop=ask_to_stop),
        log_dir=folder,
        max_restarts=max_restarts,
        first_delay_seconds=0.01,
        grace=QUICK,
    )


def poll_until(back: LocalBackend, condition: Callable[[], object], what: str) -> None:
    """Poll the back-end until a condition holds."""

    def look() -> object:
        back.poll()
        return condition()

    until(look, what)


def pids_of(back: LocalBackend) -> list[int]:
    """Return the pids of the processes that run."""
    return [child.pid for child in (back.controller, *back.agents) if child.pid is not None]


def environment() -> dict[str, str]:
    """Return an environment for subprocesses in which the packages of this checkout are found."""
    root = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, str(Path(__file__).parent)])}
