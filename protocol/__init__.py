"""The bus: typed messages, their codec, channels and security. No torch, no config, no state of a run.

Invariant: nothing that arrives from a socket is used before it was decoded strictly into one of the frozen
dataclasses of `protocol.messages`; nothing here executes what it receives.
"""

PROTOCOL_VERSION = 2
"""Raised whenever a message changes shape; peers of another version are refused with both numbers named."""
