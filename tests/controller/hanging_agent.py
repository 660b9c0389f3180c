"""A real agent whose fake engine hangs: `hanging_agent.py HOW SECONDS ARGUMENTS-OF-AGENTS...`.

The first step that has work hangs for SECONDS; `HOW` is how. The names of the functions below are what a stack must show.
"""

import ctypes
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from agents.__main__ import main
from seal_runtime.engines.fake import FakeGenerationEngine


def hang_without_the_lock(seconds: float) -> None:
    """Wait in a call that lets other Python threads run."""
    time.sleep(seconds)


def hang_with_the_lock(seconds: float) -> None:
    """Wait in C code that keeps the interpreter's lock."""
    ctypes.PyDLL(None).sleep(int(seconds))


def hang_in_a_pattern(seconds: float) -> None:
    """Match a pattern that takes exponential time, which keeps the lock too (`seconds` cannot be kept)."""
    re.match(r"(a+)+$", "a" * 60 + "b")


HANGS: dict[str, Callable[[float], None]] = {
    "sleep": hang_without_the_lock,
    "lock": hang_with_the_lock,
    "pattern": hang_in_a_pattern,
}


def install(hang: Callable[[float], None], seconds: float) -> None:
    """Replace the fake engine's step by one that hangs, once."""
    honest: Callable[[Any], Sequence[Any]] = FakeGenerationEngine.step
    left = [hang]

    def step(self: Any) -> Sequence[Any]:
        if left and self.num_pending:
            left.pop()(seconds)
        return honest(self)

    FakeGenerationEngine.step = step  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    install(HANGS[sys.argv[1]], float(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
