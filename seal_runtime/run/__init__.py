"""Read a run from Python: `Run` and the rows that it returns."""

from seal_runtime.run.api import Run
from seal_runtime.run.rows import AnswerRow, AttemptRow, EditRow, PolicyVersionRow, RewardRow, Row, RunFacts, StudyRow

__all__ = ["AnswerRow", "AttemptRow", "EditRow", "PolicyVersionRow", "RewardRow", "Row", "Run", "RunFacts", "StudyRow"]
