"""Derive every random seed of a run from names, never from the clock and never from who does the work."""

import hashlib


def derive_seed(run_seed: int, *parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on the run seed and the named parts alone.

    Parts are typically (purpose, round, context id, edit index, replicate). Stable across platforms and versions.
    """
    text = "\x1f".join([str(run_seed), *(str(part) for part in parts)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
