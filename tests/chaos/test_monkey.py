"""The monkey with real processes that only sleep: each kind does what it says, waits its turn, and what it began it ends."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launch.local import Bus, LocalBackend
from launch.specs import AgentSpec
from seal_runtime.chaos.disk import Disk
from seal_runtime.chaos.journal import Journal
from seal_runtime.chaos.monkey import Monkey, PowerCut, Stalled
from seal_runtime.chaos.schedule import Injection, Kind
from seal_runtime.errors import ConfigError

DEADLINE_SECONDS = 30.0
SLEEP = "import time\nprint('up', flush=True)\ntime.sleep(600)"
INJECTION = Injection(
    number=0, kind="kill", variant="", share=0.1, targets=("trainer-0",), seconds=0.0, latency_seconds=0.0, catches_starting=False
)
STATUS: Any = SimpleNamespace(agents=(), problems=("nobody works",))
"""As much of a RunStatus as the monkey looks at."""


class Meter:
    """Progress as the test says."""

    jobs_total = 100

    def __init__(self) -> None:
        self.jobs_done = 0
        self.committed = 0

    def look(self) -> int:
        self.jobs_done = self.committed
        return self.jobs_done


class Doors:
    """A proxy that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def cut(self, agents: list[str], shut_seconds: float) -> None:
        self.asked.append(("cut", agents, shut_seconds))

    def hold(self, agents: list[str], seconds: float) -> None:
        self.asked.append(("hold", agents, seconds))

    def slow(self, agents: list[str], seconds: float, latency_seconds: float) -> None:
        self.asked.append(("slow", agents, seconds, latency_seconds))


class Stage:
    """A back-end of sleepers, a monkey, and a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.meter, self.doors = Meter(), Doors()
        names = ("controller", "trainer-0", "evaluator-0")
        specs = [
            AgentSpec(name=name, role=name.partition("-")[0], argv=(sys.executable, "-c", SLEEP), env={}, gpus=())  # type: ignore[arg-type]
            for name in names
        ]
        bus = Bus(serves=lambda pid: True, ask_to_stop=lambda reason: False)
        self.backend = LocalBackend(specs[0], specs[1:], bus=bus, log_dir=folder, max_restarts=1, clock=lambda: self.now)
        self.backend.start()
        self.until(lambda: all(self.is_up(name) for name in names), "everybody is up")

    def is_up(self, name: str) -> bool:
        output = self.folder / f"{name}.out"
        return output.exists() and "up" in output.read_text()

    def monkey(self, *injections: Injection, **changes: Any) -> Monkey:
        settings: dict[str, Any] = {"meter": self.meter, "proxy": self.doors, "disk": None, "stall_seconds": 60.0} | changes
        self.journal = Journal(self.folder / "chaos.jsonl")
        monkey = Monkey(injections, journal=self.journal, clock=lambda: self.now, **settings)
        monkey.begin(self.backend)
        self.now += 1.0
        monkey.turn(STATUS)
        return monkey

    def turn(self, monkey: Monkey, *, committed: int | None = None, seconds: float = 1.0) -> None:
        """Let the launcher and the monkey look once, a second later."""
        self.now += seconds
        if committed is not None:
            self.meter.committed = committed
        self.backend.poll()
        monkey.turn(STATUS)

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited too long: {what}"
            self.backend.poll()
            time.sleep(0.01)

    def pid(self, name: str) -> int | None:
        return next(child.pid for child in (self.backend.controller, *self.backend.agents) if child.spec.name == name)

    def condition(self, name: str) -> str:
        return Path(f"/proc/{self.pid(name)}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.now = 1e9
    for child in (made.backend.controller, *made.backend.agents):
        child.send_signal(9)
    made.backend._clock = time.monotonic
    made.backend.close()


def of(kind: Kind, **changes: Any) -> Injection:
    return replace(INJECTION, kind=kind, **changes)


def test_a_killed_agent_comes_back_and_its_budget_is_untouched(stage: Stage) -> None:
    monkey = stage.monkey(*(of("kill", number=number) for number in range(3)))
    for number in range(3):
        before = stage.pid("trainer-0")
        stage.turn(monkey, committed=20 + number)
        assert monkey.num_undelivered == 2 - number
        stage.until(lambda: stage.pid("trainer-0") is None, "the trainer is dead")
        stage.now += 60.0
        stage.until(lambda: stage.pid("trainer-0") is not None, "the trainer is back")
        assert stage.pid("trainer-0") != before
    assert stage.backend.agents[0].budget.deaths == 1
    assert stage.backend.problems == []


def test_an_injection_waits_for_its_share_and_for_progress_since_the_one_before(stage: Stage) -> None:
    monkey = stage.monkey(of("drop"), of("drop", number=1, share=0.2))
    stage.turn(monkey, committed=9)
    assert stage.doors.asked == []
    stage.turn(monkey, committed=30)
    stage.turn(monkey)
    assert len(stage.doors.asked) == 1
    stage.turn(monkey, committed=31)
    assert len(stage.doors.asked) == 2


def test_a_stopped_agent_goes_on_when_its_time_is_over(stage: Stage) -> None:
    monkey = stage.monkey(of("stop", variant="short", seconds=5.0))
    stage.turn(monkey, committed=20)
    stage.until(lambda: stage.condition("trainer-0") == "T", "the trainer is stopped")
    stage.turn(monkey, seconds=4.0)
    assert stage.condition("trainer-0") == "T"
    stage.turn(monkey, seconds=2.0)
    stage.until(lambda: stage.condition("trainer-0") != "T", "the trainer goes on")
    assert '"ended"' in stage.journal.path.read_text()


def test_an_agent_that_the_monkey_asked_to_leave_is_replaced(stage: Stage) -> None:
    monkey = stage.monkey(of("term"))
    before = stage.pid("trainer-0")
    stage.turn(monkey, committed=20)
    stage.until(lambda: stage.pid("trainer-0") is None, "the trainer left")
    stage.turn(monkey)
    stage.now += 60.0
    stage.until(lambda: stage.pid("trainer-0") not in (None, before), "another took its place")


def test_an_agent_that_left_by_itself_is_not_replaced(stage: Stage) -> None:
    monkey = stage.monkey()
    pid = stage.pid("trainer-0")
    assert pid is not None
    os.kill(pid, 15)
    stage.until(lambda: stage.pid("trainer-0") is None, "the trainer left")
    for _ in range(3):
        stage.turn(monkey, seconds=60.0, committed=stage.meter.committed + 1)
    assert stage.backend.agents[0].state == "left"


def test_everything_dies_in_a_power_cut(stage: Stage) -> None:
    monkey = stage.monkey(of("power", targets=("everything",)))
    with pytest.raises(PowerCut):
        stage.turn(monkey, committed=20)
    deadline = time.monotonic() + DEADLINE_SECONDS
    children = (stage.backend.controller, *stage.backend.agents)
    while any(child.exit_code() is None and child.pid is not None for child in children):
        assert time.monotonic() < deadline


def test_a_controller_that_was_asked_to_stop_is_to_be_resumed(stage: Stage) -> None:
    monkey = stage.monkey(of("term", targets=("controller",)))
    stage.turn(monkey, committed=20)
    assert monkey.stopped_controller


def test_connections_are_disturbed_at_the_doors(stage: Stage) -> None:
    monkey = stage.monkey(
        of("drop", variant="cut"),
        of("drop", variant="away", seconds=3.0, targets=("controller",)),
        of("delay", variant="held", seconds=2.0, targets=("evaluator-0",)),
        of("delay", variant="late", seconds=2.0, latency_seconds=0.1),
    )
    for step in range(4):
        stage.turn(monkey, committed=20 + step)
    assert stage.doors.asked == [
        ("cut", ["trainer-0"], 0.0),
        ("cut", ["trainer-0", "evaluator-0"], 3.0),
        ("hold", ["evaluator-0"], 2.0),
        ("slow", ["trainer-0"], 2.0, 0.1),
    ]


def test_one_that_serves_is_hit_before_one_that_starts(stage: Stage) -> None:
    serving = SimpleNamespace(agent="evaluator-0", state="busy")
    monkey = stage.monkey(of("drop", targets=("trainer-0", "evaluator-0")))
    stage.meter.committed = 20
    stage.now += 1.0
    monkey.turn(SimpleNamespace(agents=(serving,), problems=()))  # type: ignore[arg-type]
    assert stage.doors.asked == [("cut", ["evaluator-0"], 0.0)]


def test_a_run_that_does_not_go_on_is_ended_with_what_its_controller_says(stage: Stage) -> None:
    monkey = stage.monkey()
    stage.turn(monkey, committed=5)
    with pytest.raises(Stalled, match="nobody works"):
        stage.turn(monkey, seconds=61.0)


def test_only_a_small_disk_of_its_own_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seal_runtime.chaos.disk.MAX_BYTES", 0)
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ConfigError, match="mount point"):
            Disk(folder)
    with pytest.raises(ConfigError, match="at most"):
        Disk(Path("/"))
