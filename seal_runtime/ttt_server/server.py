"""The server: a ROUTER socket that REQ clients speak to, and the runtime's trainer and evaluator behind it.

Many clients may ask at once: their adapters are trained together in the trainer's slots and examined together. One thread owns the
socket; the workers have threads of their own, so a malformed request is answered while an adapter is trained. Invariant: every request
gets exactly one reply: a result made of real grades, or `{"error": ...}`.

A client that gave up waiting and asks the same again gets the reply that it missed, without the work being done twice.
"""

import queue
import socket as posix
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
import zmq

from agents.roles import make_worker
from protocol.errors import ProtocolError
from protocol.jobs import ROLE_OF_JOB, Job, Role
from protocol.messages import Assign, Cancel, JobDone, JobFailed
from protocol.sockets import BusContext, bind, new_socket, receive_frame
from seal_runtime.config.topology import Topology
from seal_runtime.errors import LaunchError
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.tasks.graders import Grade
from seal_runtime.ttt_server.exam import Exam
from seal_runtime.ttt_server.jobs import ServerRules, questions_of, request_key, served_grade, training_of, training_seed
from seal_runtime.ttt_server.kept_adapters import KeptAdapters
from seal_runtime.ttt_server.missed_replies import MissedReplies
from seal_runtime.ttt_server.wire import SHUTDOWN, TttReply, TttRequest, bye_bytes, error_bytes, parse_request, reply_bytes
from seal_runtime.ttt_server.worker_thread import Report, WorkerGone, WorkerThread

log = structlog.get_logger()

MAX_REQUEST_BYTES = 256 << 20
"""Longest request: about two hundred thousand questions with their passages."""
MAX_WAITING = 4096
"""Requests at work at once; further ones are refused with an error."""
_POLL_MILLISECONDS = 250
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where the server listens and what it keeps. `kept` None removes adapters after they were examined."""

    endpoint: str
    store: Path
    kept: KeptAdapters | None


@dataclass(slots=True, kw_only=True)
class _Waiting:
    exam: Exam
    envelope: list[bytes]
    key: str
    step: int
    deadline: float
    begun_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leased:
    exam_id: str
    job: Job
    attempt: int


class TttServer:
    """Made: the socket is bound. `run` loads the models and serves until a shutdown, or until `should_stop` says so."""

    def __init__(self, topology: Topology, rules: ServerRules, grade: Grade, options: ServerOptions) -> None:
        self._topology = topology
        self._rules = rules
        self._kept = options.kept
        self._store = AdapterStore(options.store)
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._bell, self._bell_rope = posix.socketpair()
        self._bell.setblocking(False)
        self._bell_rope.setblocking(False)
        self._threads = self._make_threads(served_grade(grade))
        self._waiting: dict[str, _Waiting] = {}
        self._leases: dict[str, _Leased] = {}
        self._occurrences: Counter[str] = Counter()
        self._missed = MissedReplies()
        self._num_requests = 0
        self._is_closing = False
        self._context: BusContext = zmq.Context()
        self._socket = new_socket(self._context, zmq.ROUTER)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.endpoint = bind(self._socket, options.endpoint)

    def run(self, should_stop: Callable[[], bool], when_ready: Callable[[], None]) -> None:
        """Serve. Raises LaunchError when a worker cannot start, or died for good; all requests have had their errors then."""
        try:
            for thread in self._threads.values():  # one after the other: a trainer takes what memory the evaluator leaves
                thread.start(self._topology.limits.startup_timeout_seconds)
            when_ready()
            self._serve(should_stop)
        finally:
            self._is_closing = True
            self._take_requests()
            self._refuse_all("the server is stopping; ask again when it is back")
            self._close()

    def _make_threads(self, grade: Grade) -> dict[Role, WorkerThread]:
        def thread(role: Role) -> WorkerThread:
            return WorkerThread(
                role,
                lambda: make_worker(role, self._topology, store=self._store, gpus=(), grade=grade),
                store=self._store,
                post=self._post,
                max_restarts=self._topology.limits.max_restarts,
            )

        return {"evaluator": thread("evaluator"), "trainer": thread("trainer")}

    def _post(self, report: Report) -> None:
        """Take a report from a worker's thread and wake the socket's."""
        self._reports.put(report)
        try:
            self._bell_rope.send(b"!")
        except OSError:
            return  # it rings already, or the server has closed

    def _serve(self, should_stop: Callable[[], bool]) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell.fileno(), zmq.POLLIN)
        while not should_stop() and not (self._is_closing and not self._waiting):
            if self._bell.fileno() in dict(poller.poll(_POLL_MILLISECONDS)):
                self._bell.recv(4096)
            self._take_reports()
            self._take_requests()
            self._give_up_late(time.monotonic())

    def _take_requests(self) -> None:
        while (frames := receive_frame(self._socket)) is not None:
            envelope, body = _opened(frames)
            try:
                if len(body) != 1:
                    raise ProtocolError(f"expected one JSON object in one frame, got {len(body)} frames")
                self._take_request(envelope, parse_request(body[0]))
            except ProtocolError as error:
                log.warning("request_refused", reason=str(error))
                self._send(envelope, error_bytes(f"ProtocolError: {error}"))

    def _take_request(self, envelope: list[bytes], request: TttRequest) -> None:
        """Answer a command, or begin the work. Raises ProtocolError for what cannot be done."""
        if request.cmd == SHUTDOWN:
            log.info("shutdown_requested", waiting=len(self._waiting))
            self._is_closing = True
            self._send(envelope, bye_bytes())
            return
        if self._is_closing or len(self._waiting) >= MAX_WAITING:
            raise ProtocolError("the server is shutting down" if self._is_closing else f"{MAX_WAITING} requests wait already; ask later")
        key = request_key(request)
        missed = self._missed.take(key)
        if missed is not None:
            log.info("missed_reply_sent", key=key)
            self._deliver(envelope, key, missed)
            return
        self._begin(envelope, key, request)

    def _begin(self, envelope: list[bytes], key: str, request: TttRequest) -> None:
        training = training_of(request, self._rules)
        seed = 0
        if training is not None:
            seed = training_seed(self._rules, training, self._occurrences[training.content])
            self._occurrences[training.content] += 1
        step, now = self._num_requests, time.monotonic()
        self._num_requests += 1
        exam = Exam(f"ttt-{step}", questions=questions_of(request, self._rules), training=training, seed=seed, rules=self._rules)
        deadline = now + self._topology.limits.job_timeout_seconds
        self._waiting[exam.exam_id] = _Waiting(exam=exam, envelope=envelope, key=key, step=step, deadline=deadline, begun_at=now)
        sequences = 0 if training is None else len(training.sequences)
        log.info("request_begun", request=exam.exam_id, sequences=sequences, questions=len(request.eval_questions))
        for job in exam.begin():
            self._assign(exam.exam_id, job, attempt=1)
        if exam.is_done:
            self._finish(exam.exam_id)

    def _assign(self, exam_id: str, job: Job, attempt: int) -> None:
        self._leases[job.job_id] = _Leased(exam_id=exam_id, job=job, attempt=attempt)
        self._threads[ROLE_OF_JOB[type(job)]].put(Assign(job_id=job.job_id, attempt=attempt, job=job))

    def _take_reports(self) -> None:
        while not self._reports.empty():
            report = self._reports.get()
            if isinstance(report, WorkerGone):
                self._refuse_all(f"LaunchError: the {report.role} is gone: {report.error}")
                raise LaunchError(f"the {report.role} is gone: {report.error}")
            lease = self._leases.get(report.job_id)
            if lease is None or lease.attempt != report.attempt:
                continue  # of a request that has had its error
            if isinstance(report, JobFailed):
                self._failed(lease, report)
            else:
                self._done(lease, report)

    def _done(self, lease: _Leased, done: JobDone) -> None:
        del self._leases[done.job_id]
        exam = self._waiting[lease.exam_id].exam
        for job in exam.take(done.job_id, done.result):
            self._assign(lease.exam_id, job, attempt=1)
        if exam.is_done:
            self._finish(lease.exam_id)

    def _failed(self, lease: _Leased, failed: JobFailed) -> None:
        if failed.retryable and lease.attempt < self._topology.limits.max_attempts:
            self._assign(lease.exam_id, lease.job, lease.attempt + 1)
        else:
            self._refuse(lease.exam_id, f"{failed.error_type}: {failed.reason}")

    def _finish(self, exam_id: str) -> None:
        waiting = self._waiting.pop(exam_id)
        reply: TttReply = waiting.exam.reply()
        self._let_go(waiting, keep=True)
        log.info(
            "reply_ready",
            request=exam_id,
            baseline=reply.baseline_accuracy,
            adapter=reply.adapter_accuracy,
            seconds=round(time.monotonic() - waiting.begun_at, 3),
        )
        self._deliver(waiting.envelope, waiting.key, reply_bytes(reply))

    def _deliver(self, envelope: list[bytes], key: str, body: bytes) -> None:
        """Send a result. Where the client has left, it is kept for the one that asks the same, or given to it when it waits already."""
        if self._send(envelope, body):
            return
        twin = next((name for name, waiting in self._waiting.items() if waiting.key == key), None)
        if twin is not None:
            heir = self._drop(twin)
            self._deliver(heir.envelope, key, body)
            return
        self._missed.put(key, body)

    def _give_up_late(self, now: float) -> None:
        limit = self._topology.limits.job_timeout_seconds
        for exam_id in [name for name, waiting in self._waiting.items() if now > waiting.deadline]:
            self._refuse(exam_id, f"TimeoutError: no result within {limit:g} s; raise limits.job_timeout_seconds")

    def _refuse_all(self, error: str) -> None:
        for exam_id in list(self._waiting):
            self._refuse(exam_id, error)

    def _refuse(self, exam_id: str, error: str) -> None:
        log.warning("request_failed", request=exam_id, reason=error)
        self._send(self._drop(exam_id).envelope, error_bytes(error))

    def _drop(self, exam_id: str) -> _Waiting:
        """Take a request back from the workers."""
        waiting = self._waiting.pop(exam_id)
        for job_id in waiting.exam.job_ids:
            lease = self._leases.pop(job_id)
            self._threads[ROLE_OF_JOB[type(lease.job)]].put(Cancel(job_id=job_id, attempt=lease.attempt))
        self._let_go(waiting, keep=False)
        return waiting

    def _let_go(self, waiting: _Waiting, *, keep: bool) -> None:
        adapter = waiting.exam.adapter
        if adapter is None:
            return
        if keep and self._kept is not None:
            self._kept.keep(self._store.path(adapter.sha256), waiting.step)
        if not any(other.exam.adapter == adapter for other in self._waiting.values()):
            self._store.remove(adapter.sha256)

    def _send(self, envelope: list[bytes], body: bytes) -> bool:
        """Send a frame; say whether the client is still there to get it."""
        try:
            self._socket.send_multipart([*envelope, body], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.warning("reply_not_delivered", reason=error.strerror)
            return False
        return True

    def _close(self) -> None:
        for thread in self._threads.values():
            if not thread.close(_CLOSE_SECONDS):
                log.warning("worker_left_behind", thread=repr(thread))
        self._socket.close()
        self._context.term()
        self._bell.close()
        self._bell_rope.close()


def _opened(frames: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the envelope that the reply needs, and the body: a REQ client puts an empty frame between, a DEALER client may not."""
    end = frames.index(b"") + 1 if b"" in frames[1:2] else 1
    return frames[:end], frames[end:]
