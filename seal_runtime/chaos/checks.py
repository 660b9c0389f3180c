"""What a check of a finished run says."""

from collections.abc import Sequence
from dataclasses import dataclass

MAX_PROBLEMS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One named check. `evidence` says what was looked at; `problems` are the first few violations, `num_problems` counts them all."""

    name: str
    evidence: str
    num_problems: int
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Say whether nothing was found."""
        return self.num_problems == 0


def check(name: str, evidence: str, problems: Sequence[str]) -> Check:
    """Return a check with at most MAX_PROBLEMS problems spelled out."""
    return Check(name=name, evidence=evidence, num_problems=len(problems), problems=tuple(problems[:MAX_PROBLEMS]))
