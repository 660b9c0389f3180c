"""A controller in a thread of the test, and what tests ask of a run."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from socket_agents import ALL_ROLES, SocketAgent, await_connection

from protocol.jobs import CreditResult, Job
from protocol.messages import StatusReply, StatusRequest
from protocol.observer import ObserverClient
from protocol.status import RunStatus
from seal_runtime.controller.__main__ import run_controller
from seal_runtime.controller.commands import Finish
from seal_runtime.ledger import LedgerReader


class ThreadedController:
    """`run_controller` in a thread of the test."""

    def __init__(self, run_dir: Path) -> None:
        self.finish: Finish | None = None
        self.error: BaseException | None = None
        self.stop_reason: str | None = None
        self._run_dir = run_dir
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.finish = run_controller(self._run_dir, lambda: self.stop_reason, console=False)
        except BaseException as error:
            self.error = error

    def wait(self, timeout_seconds: float = 100.0) -> Finish:
        self._thread.join(timeout_seconds)
        assert not self._thread.is_alive(), "the controller did not end"
        assert self.error is None, self.error
        assert self.finish is not None
        return self.finish


def start_agents(run_dir: Path, before: Callable[[Job], None] = lambda job: None) -> list[SocketAgent]:
    return [SocketAgent(run_dir, role, name, before) for role, name in ALL_ROLES]


def status_of(run_dir: Path) -> RunStatus:
    with ObserverClient(await_connection(run_dir / "connection.json")) as observer:
        reply = observer.request(StatusRequest(), 30.0)
    assert isinstance(reply, StatusReply)
    return reply.status


def wait_for(condition: Callable[[], bool], timeout_seconds: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def chosen(run_dir: Path) -> dict[str, list[tuple[str, int, float]]]:
    with LedgerReader(run_dir / "ledger.sqlite") as reader:
        return {
            row.study: [(c.context_id, c.edit_index, c.reward) for c in row.result.credits if c.weight]
            for row in reader.results(stage="credit")
            if isinstance(row.result, CreditResult)
        }
