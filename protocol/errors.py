"""The root of every error that this project raises, and the errors of the bus itself.

Each class also inherits its standard kin, so that a caller may catch either. A message says what was expected,
what came, and what to do.
"""


class SealError(Exception):
    """Root of all errors raised by seal-runtime."""


class ProtocolError(SealError, ValueError):
    """A frame or message broke the protocol: malformed, oversized, of another version, or out of order."""


class ChannelError(SealError, OSError):
    """A socket, key or connection file of the bus cannot be used: port taken, file missing or malformed, libzmq without CURVE."""


class TransferError(SealError, OSError):
    """Adapter bytes could not be moved or do not match the SHA-256 that names them."""


class ChannelTimeout(SealError, TimeoutError):
    """A peer did not answer within the deadline that the caller gave."""
