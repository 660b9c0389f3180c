"""Tell from outside the main thread where it is when it does not come round, and end a process that is hung.

Two watchers. The bus thread asks a StackWatch about once a second: it reads the main thread's stack while Python runs at all. When C code
keeps the GIL no Python thread runs; then the C thread of `faulthandler`, put off by every call of the bus thread, writes the stacks to a
file beside the log, which the controller of the same host reads (`seal_runtime.controller.examine`). A process that is stopped cannot do
even that: the same file has where its main thread was a moment before. Not here: who gets the jobs instead.
"""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import structlog

from protocol.messages import Heartbeat, StackReport
from seal_runtime.calls import MAX_CALLS, call_text
from seal_runtime.config.topology import Topology

log = structlog.get_logger()

EXIT_STUCK = 5
"""Exit code of a process that ended itself because its main thread was hung."""
LAST_SEEN_BYTES = 4096
LAST_SEEN_SECONDS = 1.0
REPORT_AGAIN_SECONDS = 60.0
END_GRACE_SECONDS = 2.0
"""The controller gives up an agent at the limit, by its heartbeat; only then does the process end, so that the reason is known there."""
REFUSED_GRACE_SECONDS = 10.0
"""A main thread that has not taken note of a Reject after so long never will."""
_SILENCE_SHARE = 0.5
_MIN_SILENCE_SECONDS = 0.8


def calls_of(frame: FrameType | None) -> tuple[str, ...]:
    """Return the calls of a stack as `file:line function`, innermost first, at most MAX_CALLS."""
    calls: list[str] = []
    while frame is not None and len(calls) < MAX_CALLS:
        code = frame.f_code
        calls.append(call_text(code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return tuple(calls)


def main_thread_calls() -> tuple[str, ...]:
    """Return where the main thread is; callable from any thread."""
    return calls_of(sys._current_frames().get(threading.main_thread().ident or 0))


class SilenceWatch:
    """Leaves word for when no Python thread runs any more, in one file: where the main thread was, and all stacks. One for a process.

    The first LAST_SEEN_BYTES say where the main thread was a moment ago, for a process that is stopped or killed; what faulthandler dumps
    follows them. A thread of its own writes, so that a slow disk does not silence the heartbeats.
    """

    def __init__(self, path: Path, silence_seconds: float) -> None:
        """Begin to watch; `path` is emptied. Raises OSError."""
        self._silence_seconds = silence_seconds
        self._file = path.open("wb", buffering=0)
        self._end = threading.Event()
        self._put_off_at = time.monotonic()
        self._lock = threading.Lock()
        self._write_last_seen()
        os.lseek(self._file.fileno(), LAST_SEEN_BYTES, os.SEEK_SET)
        self._thread = threading.Thread(target=self._follow, name="last-seen", daemon=True)
        self._thread.start()

    def put_off(self) -> None:
        """Say that Python threads run."""
        with self._lock:
            if not self._end.is_set():
                self._put_off_at = time.monotonic()
                faulthandler.dump_traceback_later(self._silence_seconds, file=self._file.fileno())

    def close(self) -> None:
        """Stop watching. Idempotent."""
        with self._lock:
            if not self._end.is_set():
                self._end.set()
                faulthandler.cancel_dump_traceback_later()

    def _follow(self) -> None:
        while not self._end.wait(LAST_SEEN_SECONDS):
            with contextlib.suppress(OSError):  # a full disk: the main thread will say so
                self._write_last_seen()
                self._drop_old_dumps()

    def _drop_old_dumps(self) -> None:
        """Forget a silence that is over: a dump is of now, or not there."""
        descriptor = self._file.fileno()
        with self._lock:
            is_over = time.monotonic() < self._put_off_at + self._silence_seconds
            if is_over and os.fstat(descriptor).st_size > LAST_SEEN_BYTES:
                os.ftruncate(descriptor, LAST_SEEN_BYTES)
                os.lseek(descriptor, LAST_SEEN_BYTES, os.SEEK_SET)

    def _write_last_seen(self) -> None:
        who = f"main thread 0x{threading.main_thread().ident:016x} of process {os.getpid()}"
        text = f"{who}\nlast seen: {' < '.join(main_thread_calls())}".encode()[: LAST_SEEN_BYTES - 1]
        os.pwrite(self._file.fileno(), text.ljust(LAST_SEEN_BYTES - 1) + b"\n", 0)


class StackWatch:
    """What a channel's bus thread asks about once a second: reports a stuck main thread, and ends the process when it is hung."""

    def __init__(self, topology: Topology, silence: SilenceWatch | None) -> None:
        self._limits = topology.limits
        self._silence = silence
        self._reported_age: float | None = None
        self._refused_age: float | None = None

    def __call__(self, beat: Heartbeat, *, listening: bool, refused: bool) -> StackReport | None:
        """Return a report when one is due and the controller listens. Does not return when the main thread is hung."""
        if self._silence is not None:
            self._silence.put_off()
        self._end_when_hung(beat, refused=refused)
        age, last = beat.step_age_seconds, self._reported_age
        if not listening or age < self._limits.stuck_seconds:
            self._reported_age = None
        elif last is None or age >= last + REPORT_AGAIN_SECONDS:
            self._reported_age = age
            return StackReport(step_age_seconds=age, stack=main_thread_calls())
        return None

    def _end_when_hung(self, beat: Heartbeat, *, refused: bool) -> None:
        age, is_starting = beat.step_age_seconds, beat.state == "starting"
        limit = self._limits.startup_timeout_seconds if is_starting else self._limits.step_timeout_seconds
        if age > limit + END_GRACE_SECONDS:
            which = "startup_timeout_seconds" if is_starting else "step_timeout_seconds"
            _end(f"the main thread was in one step for {age:.0f} s (limits.{which})")
        if not refused:
            self._refused_age = None
        elif self._refused_age is None or age < self._refused_age:
            self._refused_age = age
        elif age > self._refused_age + REFUSED_GRACE_SECONDS:
            _end(f"the controller gave this agent up, and its main thread has not come round for {age:.0f} s")


def watch_silence(log_file: Path | None, topology: Topology) -> SilenceWatch | None:
    """Start the C watchdog beside a log file; None when there is no such place."""
    if log_file is None:
        return None
    seconds = _SILENCE_SHARE * min(topology.bus.agent_timeout_seconds, topology.limits.stuck_seconds)
    try:
        return SilenceWatch(log_file.with_suffix(".stack"), max(seconds, _MIN_SILENCE_SECONDS))
    except OSError as error:
        log.warning("stack_file_refused", reason=str(error))
        return None


def _end(reason: str) -> None:
    """End the process from whatever thread this is: nothing can unwind a main thread that does not come round."""
    stack = " < ".join(main_thread_calls())
    log.error("agent_hung", reason=reason, stack=stack)
    os.write(sys.stderr.fileno(), f"error: {reason}; it was at {stack}\n".encode())
    os._exit(EXIT_STUCK)
