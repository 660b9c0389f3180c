"""Remember that somebody asked the launcher to stop, without breaking into whatever it was doing.

A handler that raised could strike between the start of a process and the moment its owner knows of it. So the handlers only
count, and the launcher looks at the count ten times a second. The first signal stops in good order, the second at once. Who was started
under `nohup` does not hear of a closed terminal.
"""

import signal
from types import FrameType, TracebackType
from typing import Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Catch Ctrl-C, SIGTERM and a closed terminal while in the `with` block. Main thread only."""

    def __init__(self) -> None:
        self.count = 0
        self.first: signal.Signals | None = None
        self._before: list[tuple[signal.Signals, object]] = []

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before.append((number, signal.signal(number, self._remember)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before:
            signal.signal(number, handler if callable(handler) or isinstance(handler, signal.Handlers) else signal.SIG_DFL)

    def impatient(self) -> bool:
        """Say whether a second request came: stop waiting for anybody."""
        return self.count > 1

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.first = self.first or signal.Signals(number)
