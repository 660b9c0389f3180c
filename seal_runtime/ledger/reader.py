"""Read a ledger, also while its controller writes it: for the report, `status` after a run, `export` and recovery."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from protocol.codec import decode_job, decode_result
from protocol.errors import ProtocolError
from seal_runtime.errors import LedgerError
from seal_runtime.ledger.records import AgentRow, FailureRow, PolicyRow, ResultRow, SetAsideRow
from seal_runtime.ledger.schema import MISSING_TABLE_ADVICE, check_schema_version

_RESULT_COLUMNS = (
    "seq, job_id, stage, study, context_id, edit_index, replicate, policy_version, attempt, agent, "
    "started_at, duration_seconds, committed_at, score, job, result"
)
Value = str | int | float | bytes | None


class LedgerReader:
    """A read-only view of the ledger at `path`; a context manager. Every method raises LedgerError when the file cannot be read."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise LedgerError(f"expected a ledger at {path}, found none; has the run begun? Name a run directory")
        self.path = path
        try:
            self._database = _open(path)
            check_schema_version(self.meta(), path)
        except sqlite3.Error as error:
            raise LedgerError(f"cannot read the ledger {path}: {error}; {MISSING_TABLE_ADVICE}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._database.close()

    def meta(self) -> dict[str, str]:
        """Return the run's own facts: run_id, phase, reason, started_at, finished_at, active_seconds, epoch, schema_version."""
        return {str(row["key"]): str(row["value"]) for row in self._rows("SELECT key, value FROM meta")}

    def results(self, *, study: str | None = None, stage: str | None = None) -> Iterator[ResultRow]:
        """Yield committed results in the order of their commits, all or those of one study or stage."""
        conditions = [(f"{column} = ?", value) for column, value in (("study", study), ("stage", stage)) if value is not None]
        where = " WHERE " + " AND ".join(text for text, _ in conditions) if conditions else ""
        query = f"SELECT {_RESULT_COLUMNS} FROM results{where} ORDER BY seq"
        for row in self._rows(query, tuple(value for _, value in conditions)):
            yield self._decoded(row)

    def result(self, job_id: str) -> ResultRow | None:
        """Return the committed result of a job, None when there is none."""
        rows = self._rows(f"SELECT {_RESULT_COLUMNS} FROM results WHERE job_id = ?", (job_id,))
        return next((self._decoded(row) for row in rows), None)

    def job_ids(self, stage: str) -> list[str]:
        """Return the ids of the committed jobs of a stage in the order of their commits."""
        return [str(row["job_id"]) for row in self._rows("SELECT job_id FROM results WHERE stage = ? ORDER BY seq", (stage,))]

    def set_aside(self) -> list[SetAsideRow]:
        """Return the jobs that were given up, in the order in which they were."""
        return [SetAsideRow(**row) for row in self._rows("SELECT seq, job_id, reason FROM set_aside ORDER BY seq")]

    def failures(self) -> list[FailureRow]:
        """Return every attempt that failed, oldest first."""
        rows = self._rows("SELECT job_id, attempt, agent, error_type, reason, retryable, at FROM failures ORDER BY seq")
        return [FailureRow(**{**row, "retryable": bool(row["retryable"])}) for row in rows]

    def policies(self) -> list[PolicyRow]:
        """Return the policy versions, oldest first."""
        return [PolicyRow(**row) for row in self._rows("SELECT * FROM policies ORDER BY version")]

    def agents(self) -> list[AgentRow]:
        """Return every incarnation of every agent in the order in which they joined."""
        rows = self._rows("SELECT * FROM agents ORDER BY joined_at, agent")
        return [AgentRow(**{**row, "gpus": tuple(json.loads(row["gpus"]))}) for row in rows]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many results are committed for each (study, stage)."""
        rows = self._rows("SELECT study, stage, COUNT(*) AS number FROM results GROUP BY study, stage")
        return {(str(row["study"]), str(row["stage"])): int(row["number"]) for row in rows}

    def _decoded(self, row: sqlite3.Row) -> ResultRow:
        fields = dict(row)
        try:
            fields["job"], fields["result"] = decode_job(row["job"]), decode_result(row["result"])
        except ProtocolError as error:
            raise LedgerError(f"the ledger {self.path} holds an unreadable result of {row['job_id']}: {error}") from error
        return ResultRow(**fields)

    def _rows(self, query: str, values: tuple[Value, ...] = ()) -> Iterator[sqlite3.Row]:
        try:
            yield from self._database.execute(query, values)
        except sqlite3.Error as error:
            raise LedgerError(f"cannot read the ledger {self.path}: {error}; {MISSING_TABLE_ADVICE}") from error


def _open(path: Path) -> sqlite3.Connection:
    """Open read-only; on a read-only disk SQLite cannot make its shared-memory file, and then the file does not change either."""
    for mode in ("mode=ro", "immutable=1"):
        database = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=10.0)
        database.row_factory = sqlite3.Row
        try:
            database.execute("SELECT 1 FROM meta LIMIT 1")
        except sqlite3.OperationalError as error:
            database.close()
            if mode == "immutable=1" or "unable to open" not in str(error):
                raise
            continue
        return database
    raise AssertionError("the loop returns or raises")
