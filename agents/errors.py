"""What ends an agent, and how failures are put into words."""

import errno

from protocol.errors import SealError

_MAX_REASON_CHARS = 2000


class AgentError(SealError, RuntimeError):
    """The agent cannot go on: refused by the controller, without a controller for too long, or its engine broke again and again."""


def error_type(error: BaseException) -> str:
    """Return the name by which the ledger and the logs count a failure."""
    return type(error).__name__


def reason(error: BaseException) -> str:
    """Return a failure as one text for people, with advice where the cause is a full device."""
    text = f"{error}" or type(error).__name__
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        text = f"out of memory: lower this role's max_concurrent_* or max_tokens_per_step ({text})"
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = f"disk full: free space for the adapter store or set run.keep_adapters to none ({text})"
    return text if len(text) <= _MAX_REASON_CHARS else text[:_MAX_REASON_CHARS] + " ..."
