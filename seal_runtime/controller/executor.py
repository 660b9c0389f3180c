"""Carries out the commands of the state machine: policies to disk, one ledger transaction, then everything that others may see.

Invariant: nothing leaves this process (no acknowledgement, no job, no deletion) before what it rests on is committed and synced.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from protocol.errors import ProtocolError
from protocol.messages import Assign, ToAgent
from seal_runtime.controller.commands import Command, Commit, Finish, ForgetAdapter, KeepPolicy, LogEvent, SendTo, WriteMetrics
from seal_runtime.controller.events import JobFailedEvent
from seal_runtime.controller.policy_files import keep_policy
from seal_runtime.ledger import Ledger
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.store.run_directory import RunDirectory

log = structlog.get_logger()

Send = Callable[[str, ToAgent], None]
"""Sends a message to an agent by name. Raises ProtocolError when the message has no wire form."""


class Executor:
    """The hands of a run; `active_seconds` is asked for with every commit."""

    def __init__(self, *, ledger: Ledger, run: RunDirectory, store: AdapterStore, send: Send, active_seconds: Callable[[], float]) -> None:
        self._ledger = ledger
        self._run = run
        self._store = store
        self._send = send
        self._active_seconds = active_seconds

    def execute(self, commands: Sequence[Command]) -> list[JobFailedEvent]:
        """Carry out a batch; return the failures of jobs that cannot even be sent, for the state machine.

        Raises LedgerError or StoreError when the batch could not be committed: then nothing of it was sent.
        """
        for command in commands:
            if isinstance(command, KeepPolicy):
                keep_policy(command, self._run, self._store)
        self._commit(commands)
        failures = []
        for command in commands:
            match command:
                case SendTo():
                    failures += self._send_to(command)
                case ForgetAdapter():
                    self._store.remove(command.sha256)
                case WriteMetrics():
                    append_metrics(self._run.metrics, command)
                case LogEvent():
                    getattr(log, command.level)(command.name, **command.fields)
                case Finish():
                    log.info("run_ended", phase=command.phase, reason=command.reason)
                case Commit() | KeepPolicy():
                    pass
        return failures

    def _commit(self, commands: Sequence[Command]) -> None:
        records = [command.record for command in commands if isinstance(command, Commit)]
        ends = [command for command in commands if isinstance(command, Finish)]
        if not records and not ends:
            return
        now = time.time()
        meta = {"active_seconds": f"{self._active_seconds():.3f}"}
        for end in ends:
            meta |= {"phase": end.phase, "reason": end.reason, "finished_at": repr(now)}
        self._ledger.commit(records, now=now, meta=meta)

    def _send_to(self, command: SendTo) -> list[JobFailedEvent]:
        try:
            self._send(command.agent, command.message)
        except ProtocolError as error:
            log.error("message_unsendable", worker=command.agent, message=type(command.message).__name__, reason=str(error))
            if isinstance(command.message, Assign):
                return [_unsendable(command.agent, command.message, error)]
        return []


def append_metrics(path: Path, metrics: WriteMetrics) -> None:
    """Append one JSON line; a full disk costs the line, not the run (the ledger holds the same figures)."""
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**dataclasses.asdict(metrics), "at": time.time()}) + "\n")
    except OSError as error:
        log.warning("metrics_lost", study=metrics.study, reason=error.strerror)


def _unsendable(agent: str, assign: Assign, error: ProtocolError) -> JobFailedEvent:
    return JobFailedEvent(
        agent=agent,
        job_id=assign.job_id,
        attempt=assign.attempt,
        error_type="ProtocolError",
        reason=str(error),
        retryable=False,
    )
