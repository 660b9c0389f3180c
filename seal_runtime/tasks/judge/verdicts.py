"""Verdicts on disk, so that none is paid for twice: one SQLite file that the evaluators of a host share.

A cache that cannot be read or written is told once and then does without: it costs money, never a job.
"""

import hashlib
import sqlite3
import threading
import time
from pathlib import Path

import structlog

from seal_runtime.tasks.judge.endpoint import Reply

log = structlog.get_logger()

_FILE = "verdicts.sqlite3"
_BUSY_SECONDS = 10.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, model TEXT NOT NULL, reply TEXT NOT NULL, "
    "input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, created_at REAL NOT NULL) WITHOUT ROWID"
)


def verdict_key(base_url: str, model: str, temperature: float | None, prompt: str) -> str:
    """Return the name of a verdict: everything that a reply depends on, hashed."""
    parts = (base_url.rstrip("/"), model, repr(temperature), prompt)
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class VerdictCache:
    """Replies of the judge by key. Thread-safe. The file is opened, and made, when a verdict is first looked for."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._lock = threading.Lock()
        self._is_opened = False
        self._database: sqlite3.Connection | None = None

    def get(self, key: str) -> str | None:
        """Return the reply kept under a key."""
        with self._lock:
            database = self._opened()
            if database is None:
                return None
            try:
                row = database.execute("SELECT reply FROM verdicts WHERE key = ?", (key,)).fetchone()
            except sqlite3.Error as error:
                self._give_up(error)
                return None
        return None if row is None else str(row[0])

    def put(self, key: str, model: str, reply: Reply) -> None:
        """Keep a reply; the first one stays."""
        text = reply.text.encode("utf-8", "replace").decode()
        values = (key, model, text, reply.input_tokens, reply.output_tokens, time.time())
        with self._lock:
            database = self._opened()
            if database is None:
                return
            try:
                database.execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?)", values)
            except sqlite3.Error as error:
                self._give_up(error)

    def close(self) -> None:
        """Close the file, for good. Idempotent."""
        with self._lock:
            self._is_opened = True
            if self._database is not None:
                self._database.close()
                self._database = None

    def _opened(self) -> sqlite3.Connection | None:
        if self._is_opened:
            return self._database
        self._is_opened = True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            database.execute(_TABLE)
            self._database = database
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
        return self._database

    def _give_up(self, error: Exception) -> None:
        log.warning(
            "judge_cache_unusable", path=str(self._path), reason=str(error), advice="set task.judge.cache_dir; verdicts are not kept"
        )
        self._database = None
