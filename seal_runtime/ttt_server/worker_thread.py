"""A trainer or an evaluator of the runtime on a thread of its own, behind two queues.

The thread makes the worker, steps it and makes it anew when its engine dies, a bounded number of times without a success in between.
Invariant: every job that is assigned and not cancelled is answered, also when the worker dies; the failure of a worker is reported, never
hidden.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agents.adapters import AdapterExchange
from agents.errors import AgentError, error_type, reason
from agents.workbench import Answer, Workbench
from agents.worker import Worker
from protocol.jobs import Role
from protocol.messages import Assign, Cancel, JobDone, JobFailed
from seal_runtime.errors import EngineDiedError, LaunchError
from seal_runtime.store.adapters import AdapterStore

log = structlog.get_logger()

_IDLE_SECONDS = 0.5
_BUSY_SECONDS = 0.01
"""Wait for messages while only graders are at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGone:
    """The worker cannot be had any more."""

    role: Role
    error: str


Report = Answer | WorkerGone


class WorkerThread:
    """Serves one role. `post` is called on the worker's thread with everything that it has to say."""

    def __init__(
        self, role: Role, make: Callable[[], Worker], *, store: AdapterStore, post: Callable[[Report], None], max_restarts: int
    ) -> None:
        self._role = role
        self._make = make
        self._store = store
        self._post = post
        self._max_restarts = max_restarts
        self._inbox: queue.SimpleQueue[Assign | Cancel | None] = queue.SimpleQueue()
        self._attempts: dict[str, int] = {}
        self._ready = threading.Event()
        self._failure = ""
        self._restarts = 0
        self._thread = threading.Thread(target=self._live, name=f"ttt-{role}", daemon=True)

    def start(self, timeout_seconds: float) -> None:
        """Start the thread and wait until the model is loaded. Raises LaunchError when it is not."""
        self._thread.start()
        if not self._ready.wait(timeout_seconds):
            raise LaunchError(f"the {self._role} was not ready within {timeout_seconds:g} s; raise limits.startup_timeout_seconds")
        if self._failure:
            raise LaunchError(f"the {self._role} cannot start: {self._failure}")

    def put(self, message: Assign | Cancel) -> None:
        """Give the worker a job or take one back."""
        self._inbox.put(message)

    def close(self, timeout_seconds: float) -> bool:
        """Let the thread end after its step; say whether it did in time. It is a daemon and cannot keep the process alive."""
        self._inbox.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _live(self) -> None:
        while True:
            try:
                worker = self._make()
            except Exception as error:  # becomes the reason why the server ends
                self._give_up(f"{error_type(error)}: {reason(error)}")
                return
            self._ready.set()
            try:
                self._serve(worker)
                return
            except Exception as error:  # becomes the failure of the jobs at hand
                log.error("worker_died", role=self._role, reason=reason(error), exc_info=True)
                self._restarts += 1
                self._fail_held(error)
                if self._restarts > self._max_restarts:
                    self._give_up(f"it died {self._restarts} times with nothing finished in between, last of {reason(error)}")
                    return
            finally:
                worker.close()

    def _serve(self, worker: Worker) -> None:
        exchange = AdapterExchange(self._store, send=_no_transfer, is_shared=True)
        bench = Workbench(role=self._role, worker=worker, exchange=exchange)
        while self._take_messages(bench):
            for answer in bench.advance():
                self._attempts.pop(answer.job_id, None)
                if isinstance(answer, JobDone):
                    self._restarts = 0
                self._post(answer)
            try:
                bench.check_engine()
            except AgentError as error:
                raise EngineDiedError(str(error)) from error

    def _take_messages(self, bench: Workbench) -> bool:
        """Act on what has come, wait for it when there is nothing to do; say whether to go on."""
        wait_seconds = 0.0 if bench.must_advance else _BUSY_SECONDS if bench.job_ids else _IDLE_SECONDS
        try:
            message = self._inbox.get(timeout=wait_seconds) if wait_seconds else self._inbox.get_nowait()
            while message is not None:
                if isinstance(message, Assign):
                    self._attempts[message.job_id] = message.attempt
                    bench.accept(message)
                else:
                    self._attempts.pop(message.job_id, None)
                    bench.cancel(message)
                message = self._inbox.get_nowait()
        except queue.Empty:
            return True
        return False

    def _fail_held(self, error: Exception) -> None:
        for job_id, attempt in self._attempts.items():
            self._post(JobFailed(job_id=job_id, attempt=attempt, error_type=error_type(error), reason=reason(error), retryable=True))
        self._attempts.clear()

    def _give_up(self, why: str) -> None:
        self._failure = why
        self._ready.set()
        self._post(WorkerGone(role=self._role, error=why))


def _no_transfer(message: object) -> None:
    raise AssertionError(f"a shared store needs no transfer, got {type(message).__name__}")
