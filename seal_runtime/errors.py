"""Errors above the bus. All descend from `protocol.errors.SealError`; each names the boundary that failed."""

from protocol.errors import SealError


class ConfigError(SealError, ValueError):
    """A topology, override or command-line value is wrong. Raised before any process starts."""


class DataError(SealError, ValueError):
    """A data file or data set is missing, unreadable or not of the expected format."""


class EditParseError(SealError, ValueError):
    """A self-edit cannot be turned into training sequences. This is data about the policy: lowest reward, recorded."""


class AdaptError(SealError, RuntimeError):
    """The inner loop could not produce an adapter (diverged, does not fit). Never a reward."""


class GenerateError(SealError, RuntimeError):
    """An engine could not generate. Never a reward."""


class EngineDiedError(GenerateError):
    """An engine is gone for good. Its agent ends, and the jobs at work count a death, as if the agent had been killed."""


class GradeError(SealError, RuntimeError):
    """A grader failed or was unreachable. Never a reward."""


class ReceiptError(SealError, RuntimeError):
    """The evaluator could not prove that it measured the adapter it was asked to measure. Never a reward."""


class StoreError(SealError, OSError):
    """The adapter store or the run directory failed (missing, corrupt, disk full)."""


class LedgerError(SealError, RuntimeError):
    """The ledger refused a write or holds something that this version cannot read."""


class LaunchError(SealError, RuntimeError):
    """A process of the run could not be started, found or stopped."""
