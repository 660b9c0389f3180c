"""Read a ledger for the checks with plain SQL, apart from the code that wrote it and that recovers from it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol.codec import decode_job, decode_result
from protocol.errors import ProtocolError
from protocol.jobs import Job, JobResult
from seal_runtime.errors import LedgerError

Place = tuple[str, str, str, int, int]
"""Stage, study, context, edit, replicate: where a job stands in the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """A committed result as the file holds it."""

    job_id: str
    place: Place
    policy_version: int
    attempt: int
    score: float | None
    job: Job
    result: JobResult


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAudit:
    """Everything that the checks ask of a ledger. `repeated` are places and ids that occur more than once."""

    meta: dict[str, str]
    rows: tuple[AuditRow, ...]
    by_place: dict[Place, AuditRow]
    set_aside: dict[str, str]
    policies: dict[int, str]
    repeated: tuple[str, ...]
    integrity: str
    num_failures: int
    num_agents: int

    def at(self, place: Place) -> AuditRow | None:
        """Return the row at a place, of repeated ones the last; None when there is none."""
        return self.by_place.get(place)

    def of_stage(self, stage: str) -> Iterator[AuditRow]:
        """Yield the rows of a stage in the order of their commits."""
        return (row for row in self.rows if row.place[0] == stage)


def read_audit(path: Path) -> LedgerAudit:
    """Read a ledger whole. Raises LedgerError when it is not there or holds what cannot be decoded."""
    if not path.is_file():
        raise LedgerError(f"expected a ledger at {path}, found none; did the run begin?")
    try:
        with _opened(path) as database:
            rows = tuple(_rows(database, path))
            return LedgerAudit(
                meta=dict(database.execute("SELECT key, value FROM meta")),
                rows=rows,
                by_place={row.place: row for row in rows},
                set_aside=dict(database.execute("SELECT job_id, reason FROM set_aside ORDER BY seq")),
                policies={
                    int(version): str(sha256) for version, sha256 in database.execute("SELECT version, adapter_sha256 FROM policies")
                },
                repeated=tuple(_repeated(database)),
                integrity=str(database.execute("PRAGMA integrity_check").fetchone()[0]),
                num_failures=int(database.execute("SELECT COUNT(*) FROM failures").fetchone()[0]),
                num_agents=int(database.execute("SELECT COUNT(*) FROM agents").fetchone()[0]),
            )
    except sqlite3.Error as error:
        raise LedgerError(f"cannot read the ledger {path}: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10.0)
    try:
        yield database
    finally:
        database.close()


def _rows(database: sqlite3.Connection, path: Path) -> Iterator[AuditRow]:
    query = (
        "SELECT job_id, stage, study, context_id, edit_index, replicate, policy_version, attempt, score, job, result "
        "FROM results ORDER BY seq"
    )
    for job_id, stage, study, context_id, edit_index, replicate, version, attempt, score, job, result in database.execute(query):
        try:
            yield AuditRow(
                job_id=job_id,
                place=(stage, study, context_id, edit_index, replicate),
                policy_version=version,
                attempt=attempt,
                score=score,
                job=decode_job(job),
                result=decode_result(result),
            )
        except ProtocolError as error:
            raise LedgerError(f"the ledger {path} holds an unreadable result of {job_id}: {error}") from error


def _repeated(database: sqlite3.Connection) -> Iterator[str]:
    places = (
        "SELECT stage, study, context_id, edit_index, replicate, COUNT(*) FROM results "
        "GROUP BY stage, study, context_id, edit_index, replicate HAVING COUNT(*) > 1"
    )
    for stage, study, context_id, edit_index, replicate, number in database.execute(places):
        where = f"{study}/{context_id}/e{edit_index}/r{replicate}/{stage}"
        yield f"{where} is committed {number} times"
    for job_id, number in database.execute("SELECT job_id, COUNT(*) FROM results GROUP BY job_id HAVING COUNT(*) > 1"):
        yield f"the id {job_id} is committed {number} times"
    for (job_id,) in database.execute("SELECT job_id FROM results JOIN set_aside USING (job_id)"):
        yield f"{job_id} is both committed and set aside"
