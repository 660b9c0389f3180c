"""The tables of the ledger and their version."""

from collections.abc import Mapping
from pathlib import Path

from seal_runtime.errors import LedgerError

SCHEMA_VERSION = 1
"""Raised with every change that an older reader would misread."""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE results (
    seq INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, stage TEXT NOT NULL, study TEXT NOT NULL, context_id TEXT NOT NULL,
    edit_index INTEGER NOT NULL, replicate INTEGER NOT NULL, policy_version INTEGER NOT NULL, attempt INTEGER NOT NULL,
    agent TEXT NOT NULL, started_at REAL NOT NULL, duration_seconds REAL NOT NULL, committed_at REAL NOT NULL, score REAL,
    job BLOB NOT NULL, result BLOB NOT NULL
);
CREATE INDEX results_by_study ON results (study, stage);
CREATE TABLE set_aside (seq INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, reason TEXT NOT NULL);
CREATE TABLE failures (
    seq INTEGER PRIMARY KEY, job_id TEXT NOT NULL, attempt INTEGER NOT NULL, agent TEXT NOT NULL,
    error_type TEXT NOT NULL, reason TEXT NOT NULL, retryable INTEGER NOT NULL, at REAL NOT NULL
);
CREATE TABLE policies (
    version INTEGER PRIMARY KEY, parent INTEGER NOT NULL, round INTEGER NOT NULL, adapter_sha256 TEXT NOT NULL,
    rank INTEGER NOT NULL, num_bytes INTEGER NOT NULL, created_at REAL NOT NULL
);
CREATE TABLE agents (
    agent TEXT NOT NULL, incarnation TEXT NOT NULL, role TEXT NOT NULL, hostname TEXT NOT NULL, pid INTEGER NOT NULL,
    gpus TEXT NOT NULL, joined_at REAL NOT NULL, left_at REAL, reason TEXT, PRIMARY KEY (agent, incarnation)
);
"""

MISSING_TABLE_ADVICE = "it is not a ledger of seal-runtime; name the run directory of a launched run"


def check_schema_version(meta: Mapping[str, str], path: Path) -> None:
    """Raise LedgerError unless the ledger has the version that this code reads."""
    found = meta.get("schema_version")
    if found != str(SCHEMA_VERSION):
        raise LedgerError(
            f"the ledger {path} has schema version {found}, this release reads {SCHEMA_VERSION}; use the release that wrote the run"
        )
