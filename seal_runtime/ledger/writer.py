"""The one writer of a run's ledger.

Invariant: a batch is committed whole (one SQLite transaction, synced to disk) or not at all, and a second writer on the same
file is refused. Nothing here decides what is written.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from protocol.codec import encode_job, encode_result
from seal_runtime.errors import LedgerError
from seal_runtime.ledger.records import (
    AgentJoined,
    FailureRecord,
    PolicyRecord,
    Record,
    ResultRecord,
    SetAsideRecord,
)
from seal_runtime.ledger.schema import MISSING_TABLE_ADVICE, SCHEMA_VERSION, TABLES, check_schema_version

Statement = tuple[str, tuple[object, ...]]


class Ledger:
    """Opens or creates the ledger at `path` for writing. Raises LedgerError when another controller holds it or it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _take_lock(path.with_name(path.name + ".lock"), path)
        try:
            self._database = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._prepare()
            self._seq = self._last_seq()
        except sqlite3.Error as error:
            self._release()
            raise LedgerError(f"cannot open the ledger {path}: {error}; {MISSING_TABLE_ADVICE}") from error
        except LedgerError:
            self._release()
            raise

    def meta(self) -> dict[str, str]:
        """Return the run's own facts (run_id, phase, started_at ...)."""
        return dict(self._database.execute("SELECT key, value FROM meta"))

    def commit(self, records: Iterable[Record], *, now: float, meta: Mapping[str, str] | None = None) -> None:
        """Write records and facts in one transaction and sync it. `now` is seconds since the epoch.

        Raises LedgerError, after which nothing of the batch is in the file.
        """
        seq = self._seq
        statements: list[Statement] = [_meta_statement(key, value) for key, value in (meta or {}).items()]
        for record in records:
            seq += 1
            statements.append(_statement(record, seq, now))
        if statements:
            self._transact(statements)
            self._seq = seq

    def forget_results(self, job_ids: Sequence[str]) -> None:
        """Delete results that cannot be used any more (their adapter is lost) so that the jobs are done again."""
        self._transact([("DELETE FROM results WHERE job_id = ?", (job_id,)) for job_id in job_ids])

    def forget_set_aside(self, job_ids: Sequence[str]) -> None:
        """Give jobs that were set aside another chance."""
        self._transact([("DELETE FROM set_aside WHERE job_id = ?", (job_id,)) for job_id in job_ids])

    def close(self) -> None:
        """Close the file and let another writer in. Idempotent."""
        self._database.close()
        self._release()

    def _transact(self, statements: Sequence[Statement]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for text, values in statements:
                self._database.execute(text, values)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise LedgerError(
                f"the ledger {self.path} refused a commit of {len(statements)} record(s): {error}; nothing of it was written. "
                "Free disk space or make the folder writable, then `seal-runtime resume` this run"
            ) from error

    def _prepare(self) -> None:
        names = {row[0] for row in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not names:
            self._database.executescript(f"BEGIN IMMEDIATE;{TABLES}INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}');COMMIT;")
            return
        if "meta" not in names:
            raise LedgerError(f"cannot open the ledger {self.path}: it has tables but no `meta`; {MISSING_TABLE_ADVICE}")
        check_schema_version(self.meta(), self.path)

    def _last_seq(self) -> int:
        tables = ("results", "set_aside", "failures")
        return max(int(self._database.execute(f"SELECT COALESCE(MAX(seq), 0) FROM {table}").fetchone()[0]) for table in tables)

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _take_lock(lock_path: Path, path: Path) -> int:
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LedgerError(f"cannot create {lock_path}: {error.strerror}; is the disk full or the folder read-only?") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LedgerError(f"another controller is writing {path}; stop it first (`seal-runtime stop`) or use another run name") from error
    return descriptor


def _meta_statement(key: str, value: str) -> Statement:
    return "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)


def _statement(record: Record, seq: int, now: float) -> Statement:
    if isinstance(record, ResultRecord):
        return _result_statement(record, seq, now)
    if isinstance(record, FailureRecord):
        values = (seq, record.job_id, record.attempt, record.agent, record.error_type, record.reason, int(record.retryable), now)
        return "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values
    if isinstance(record, SetAsideRecord):
        return "INSERT OR IGNORE INTO set_aside VALUES (?, ?, ?)", (seq, record.job_id, record.reason)
    if isinstance(record, PolicyRecord):
        policy = (record.version, record.parent, record.round, record.adapter_sha256, record.rank, record.num_bytes, now)
        return "INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?, ?, ?, ?)", policy
    if isinstance(record, AgentJoined):
        gpus = json.dumps(record.gpus)
        agent = (record.agent, record.incarnation, record.role, record.hostname, record.pid, gpus, now)
        return "INSERT OR REPLACE INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)", agent
    return (
        "UPDATE agents SET left_at = ?, reason = ? WHERE agent = ? AND incarnation = ?",
        (now, record.reason, record.agent, record.incarnation),
    )


def _result_statement(record: ResultRecord, seq: int, now: float) -> Statement:
    key = record.key
    values = (
        seq,
        key.job_id,
        key.stage,
        key.study,
        key.context_id,
        key.edit_index,
        key.replicate,
        record.policy_version,
        record.attempt,
        record.agent,
        record.started_at,
        record.duration_seconds,
        now,
        record.score,
        encode_job(record.job),
        encode_result(record.result),
    )
    return f"INSERT INTO results VALUES ({', '.join('?' * len(values))})", values
