"""Work beside the owner: in order, handed back once, and over when it is dropped."""

import threading

import pytest

from seal_runtime.engines.side_thread import SideThread
from seal_runtime.errors import StoreError

DEADLINE_SECONDS = 30


class _Gate:
    """Work that stays under way until it is let through."""

    def __init__(self):
        self.begun, self.open, self.passed = threading.Event(), threading.Event(), False

    def __call__(self):
        self.begun.set()
        assert self.open.wait(DEADLINE_SECONDS)
        self.passed = True
        return "gate"


@pytest.fixture
def gate():
    return _Gate()


@pytest.fixture
def side():
    thread = SideThread("side-of-test")
    yield thread
    thread.close()


def _fail():
    raise StoreError("disk full")


def test_results_and_failures_come_back_once_in_the_order_of_submission(side):
    for key, work in (("b", lambda: 1), ("a", _fail), ("c", lambda: 3)):
        side.submit(key, work)
    found = []
    while len(side):
        found += side.ended(DEADLINE_SECONDS)
    assert [key for key, _ in found] == ["b", "a", "c"]
    assert (found[0][1], type(found[1][1]), found[2][1]) == (1, StoreError, 3)
    assert (side.ended(), side.has_ended) == ([], False)


def test_an_error_of_ours_is_raised_and_not_taken_for_a_failure_of_the_work(side):
    side.submit("a", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        side.ended(DEADLINE_SECONDS)


def test_what_is_taken_before_its_turn_is_done_by_who_takes_it(side, gate):
    side.submit("first", gate)
    side.submit("late", threading.get_ident)
    assert side.take("late") == threading.get_ident()
    gate.open.set()
    assert side.take("first") == "gate"


def test_dropped_work_is_over_when_drop_returns(side, gate):
    ran = []
    side.submit("under way", gate)
    side.submit("waits", lambda: ran.append(1))
    assert gate.begun.wait(DEADLINE_SECONDS)
    side.drop("waits")
    side.drop("unknown")
    threading.Timer(0.05, gate.open.set).start()
    side.drop("under way")
    assert gate.passed
    side.close()
    assert (ran, len(side)) == ([], 0)


def test_close_waits_for_the_work_under_way_and_leaves_no_thread(side, gate):
    side.submit("under way", gate)
    assert gate.begun.wait(DEADLINE_SECONDS)
    threading.Timer(0.05, gate.open.set).start()
    side.close()
    side.close()
    assert gate.passed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("side-of-test")]
