"""SIGTERM (and Ctrl-C, when the agent was started by hand) end an agent gracefully, whatever its main thread is at."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """Unwinds the main thread up to the goodbye. No Exception, so that no handler of a job's failure takes it for one."""


@contextmanager
def stop_signals(*, handle_interrupt: bool) -> Iterator[None]:
    """Raise Stopped in the main thread at the first signal; later ones are ignored, so that the goodbye is not interrupted.

    Without `handle_interrupt` Ctrl-C is left to the launcher, which gets it too.
    """
    handled = (signal.SIGTERM, signal.SIGINT) if handle_interrupt else (signal.SIGTERM,)

    def stop(number: int, frame: FrameType | None) -> None:
        for handled_signal in handled:
            signal.signal(handled_signal, signal.SIG_IGN)
        raise Stopped(f"stopped by {signal.Signals(number).name}")

    previous = {number: signal.signal(number, stop) for number in handled}
    if not handle_interrupt:
        previous[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
