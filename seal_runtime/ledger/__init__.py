"""The ledger: every committed result of a run in one SQLite file, written by the controller, read by everybody else."""

from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.records import ResultRow
from seal_runtime.ledger.writer import Ledger

__all__ = ["Ledger", "LedgerReader", "ResultRow"]
