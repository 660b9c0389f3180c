"""What a report says, as data: every figure of the final table, the learning curve, the edits, the agents and the policies.

Scores of the table are percentages of questions answered right; rewards are fractions in [0, 1], as the critic saw them.
None stands for what could not be measured (yet); it is never a zero.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from protocol.status import Alarm
from seal_runtime.algorithms.continual import ContinualFigures

RowGroup = Literal["baseline", "own", "ceiling", "cpt", "continual", "retention", "control"]
EditState = Literal["scored", "unparsed", "invalid", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which run this is. Times are Unix seconds; `reason` explains the phase; `versions` are those of the reporting environment."""

    run: str
    run_id: str
    phase: str
    reason: str
    seed: int
    model: str
    task: str
    algorithm: str
    rounds: int
    split: str
    versions: dict[str, str]
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One line of the final table: the mean over contexts of each context's mean over edits, and the standard error over contexts.

    `num_edits` is 0 in rows without self-edits. `num_unparsed` edits are in the mean with score 0; `num_invalid` could not be
    measured and are not in the mean; `num_missing` have not been measured yet.
    """

    key: str
    label: str
    group: RowGroup
    policy_version: int
    mean_percent: float | None
    stderr_percent: float | None
    num_contexts: int
    num_edits: int
    num_unparsed: int
    num_invalid: int
    num_missing: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedGain:
    """The last policy against the untrained one on the held-out contexts that both were measured on. `p_value` is two-sided.

    `t_statistic` and `p_value` are None with fewer than two contexts; `t_statistic` is also None when every difference is the same.
    """

    first_version: int
    last_version: int
    gain_percent: float
    stderr_percent: float | None
    t_statistic: float | None
    p_value: float | None
    num_contexts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSummary:
    """One round of the outer loop, at the policy that wrote its edits. `best_reward` is the mean over contexts of their best edit.

    `distinct_share` is the number of different texts over that of all texts, compared within a context.
    """

    round: int
    policy_version: int
    mean_reward: float | None
    stderr_reward: float | None
    best_reward: float | None
    num_contexts: int
    num_edits: int
    num_unparsed: int
    num_invalid: int
    num_missing: int
    edits_per_hour: float | None
    distinct_share: float | None
    rewards: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One question, what was accepted, what the adapted model said and its grade in [0, 1]."""

    prompt: str
    gold: tuple[str, ...]
    answer: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EditStory:
    """A self-edit with what came of it. `verdicts` are those of the first replicate; none means that it could not be parsed."""

    edit_id: str
    round: int
    context_id: str
    title: str
    context: str
    text: str
    reward: float
    replicate_rewards: tuple[float, ...]
    chosen: bool
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditChange:
    """The context whose score changed most. `between` says from what to what, with the score in [0, 1] of each side.

    `rounds`: mean rewards of the context's edits in two rounds, shown by the edit nearest to each mean. `base`: the answers without
    any edit and those after one held-out edit; `before` then has no text of its own.
    """

    between: Literal["rounds", "base"]
    score_before: float
    score_after: float
    label_before: str
    label_after: str
    before: EditStory
    after: EditStory


@dataclass(frozen=True, slots=True, kw_only=True)
class EditLine:
    """One line of the list of all self-edits of the rounds. `reward` is None for one that was set aside or is not measured yet."""

    edit_id: str
    round: int
    title: str
    state: EditState
    reward: float | None
    chosen: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One line of a matrix: its name and a percentage for each column, None where nothing was measured.

    `stderrs` are the standard errors of the cells, none where there are no repetitions; `marked` is the column to point out, if any.
    """

    label: str
    cells: tuple[float | None, ...]
    stderrs: tuple[float | None, ...]
    marked: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Scores in percent of several measurements after several steps of learning: what was learned and what was forgotten."""

    title: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinualSummary:
    """What one policy version knew while it learned sequences of passages. `figures` are fractions in [0, 1], over sequences.

    `num_unparsed` edits could not be used: the model stayed as it was.
    """

    study: str
    policy_version: int
    label: str
    num_unparsed: int
    figures: ContinualFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentShare:
    """How an agent spent its time. `busy_seconds` is wall-clock time with at least one job of the stage at work, by stage.

    `present_seconds` runs from the agent's arrival (its first job when that is unknown) to its leave or the run's end.
    """

    agent: str
    num_jobs: int
    busy_seconds: dict[str, float]
    present_seconds: float
    busy_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStep:
    """One policy version and its held-out score, if it was measured. An empty `adapter_sha256` is a version without a change."""

    version: int
    parent: int | None
    round: int
    adapter_sha256: str
    rank: int
    num_bytes: int
    heldout_percent: float | None
    num_chosen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """The whole run: scored edits of all studies, and the time from the first job's start to the last one's end."""

    num_scored: int
    wall_seconds: float
    edits_per_hour: float | None
    jobs: dict[str, int]
    job_seconds: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Everything that the table, the verdict and the HTML report show.

    `best` and `worst` are two edits: `worst` is None as long as only one is scored.
    `steps_share` is the part of the gain over passage-only that as many optimizer steps on the passage alone reach; None when
    there is no gain or no such control.
    """

    identity: Identity
    table: tuple[TableRow, ...]
    gain: PairedGain | None
    control_gain: PairedGain | None
    steps_share: float | None
    rounds: tuple[RoundSummary, ...]
    best: EditStory | None
    worst: EditStory | None
    most_changed: EditChange | None
    edits: tuple[EditLine, ...]
    matrices: tuple[Matrix, ...]
    continual: tuple[ContinualSummary, ...]
    agents: tuple[AgentShare, ...]
    throughput: Throughput
    policies: tuple[PolicyStep, ...]
    set_aside: tuple[tuple[str, str], ...]
    alarms: tuple[Alarm, ...]
    topology_yaml: str

    def row(self, key: str) -> TableRow | None:
        """Return the table's row of that key, None when there is none."""
        return next((row for row in self.table if row.key == key), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, ready for JSON, without the list of all edits (`Run.edits()` has it)."""
        data = asdict(self)
        del data["edits"]
        return data

    def to_json(self) -> str:
        """Return the summary as indented JSON text. Raises ValueError for a number that JSON cannot hold."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
