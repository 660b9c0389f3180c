import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from statuses import STATUS, with_gpu
from textual.pilot import Pilot
from textual.widgets import Static

from protocol.status import RunStatus
from seal_runtime.top.app import TopApp
from seal_runtime.top.source import Reading

DEADLINE_SECONDS = 30.0
SIZE = (80, 24)


class Told:
    """A source that says what the test sets."""

    def __init__(self, status: RunStatus | None, note: str = "") -> None:
        self.reading = Reading(status=status, note=note)
        self.num_reads = 0
        self.threads: set[str] = set()
        self.is_closed = False

    def read(self) -> Reading:
        self.num_reads += 1
        self.threads.add(threading.current_thread().name)
        return self.reading

    def close(self) -> None:
        self.is_closed = True


def shown(app: TopApp) -> str:
    """Return the text of the screen as it is drawn, line by line."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in lines)


def drive(source: Told, act: Callable[[TopApp, Pilot[None]], Awaitable[None]], size: tuple[int, int] = SIZE) -> None:
    async def session() -> None:
        app = TopApp(source, title="quickstart", every_seconds=0.05)
        async with app.run_test(size=size) as pilot:
            await act(app, pilot)

    asyncio.run(session())


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    for _ in range(int(DEADLINE_SECONDS / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("waited too long")


def test_everything_fits_into_a_small_terminal() -> None:
    source = Told(STATUS)

    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "edits/h" in shown(app) and "q Quit" in shown(app))
        screen = shown(app)
        for text in (
            "running  round 2 of 3  policy v1  lag 0",
            "250/1000 scored  9,000 edits/h, now 12,000",
            "waiting jobs  proposer 0  trainer 40  evaluator 1  critic 0",
            "adapting 32 %",
            "trainers are busy 97 %",
            "reward        ▁█ 27.4 → 41.2 % (3 of 8 scored), best 41.2 %",
            "held-out      ▁ 28.9 %",
            "round-2/ada/e0/r0/adapt +1",
            "critic-0",
            "! the reward has not risen",
            "! a [red]problem[/red]",
            "q Quit",
        ):
            assert text in screen, screen
        assert "gpu" not in screen
        assert all(len(line) <= SIZE[0] for line in screen.splitlines())

    drive(source, act)
    assert source.is_closed
    assert source.threads == {"top-reader"}, "the source belongs to one thread"


def test_gpu_memory_and_use_are_shown_where_there_is_one() -> None:
    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "5.0 GiB" in shown(app))
        assert "87 %" in shown(app)

    drive(Told(with_gpu(STATUS)), act, size=(120, 40))


def test_s_sorts_the_agents() -> None:
    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "proposer-0" in shown(app))
        assert shown(app).index("proposer-0") < shown(app).index("trainer-0")
        await pilot.press("s")
        await until(pilot, lambda: "sorted by busy" in shown(app))
        assert shown(app).index("trainer-0") < shown(app).index("proposer-0")

    drive(Told(STATUS), act)


def test_p_holds_the_picture_and_asks_nothing() -> None:
    source = Told(STATUS)

    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "250/1000" in shown(app))
        await pilot.press("p")
        await until(pilot, lambda: "PAUSED" in shown(app))
        source.reading = Reading(status=replace(STATUS, items_done=999), note="")
        await pilot.pause(0.1)
        num_reads = source.num_reads
        await pilot.pause(0.1)
        assert source.num_reads == num_reads
        assert "250/1000" in shown(app)
        await pilot.press("p")
        await until(pilot, lambda: "999/1000" in shown(app))

    drive(source, act)


def test_the_last_status_stays_while_the_controller_is_away() -> None:
    source = Told(STATUS)

    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "250/1000" in shown(app))
        source.reading = Reading(status=None, note="the controller does not answer")
        await until(pilot, lambda: "does not answer" in shown(app))
        assert "250/1000" in shown(app)
        source.reading = Reading(status=replace(STATUS, phase="done", alarms=(), problems=()), note="the run is over")
        await until(pilot, lambda: "done  round 2 of 3" in shown(app))
        assert "the run is over" in shown(app)

    drive(source, act)


def test_nothing_is_known_at_first() -> None:
    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "waiting for" in shown(app))
        await pilot.press("s", "p")

    drive(Told(None, "waiting for a controller"), act)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_keys_leave(key: str) -> None:
    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await pilot.press(key)
        await until(pilot, lambda: not app.is_running)

    drive(Told(STATUS), act)


def test_many_agents_scroll() -> None:
    agents = tuple(replace(STATUS.agents[1], agent=f"trainer-{index}") for index in range(40))

    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "trainer-1 " in shown(app))
        assert "trainer-39" not in shown(app)
        await pilot.press(*(["down"] * 40))
        await until(pilot, lambda: "trainer-9 " in shown(app))
        assert app.query_one("#head", Static).region.y == 1, "the head stays"

    drive(Told(replace(STATUS, agents=agents, alarms=(), problems=())), act)
