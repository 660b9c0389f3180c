"""Where the time of a whole run went: self-edits scored an hour, and each agent's share of time at each kind of work.

Everything comes from the ledger of a finished run (and from `seal_runtime.report.shares`), so any run can be looked at afterwards.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from protocol.jobs import EvaluateJob, EvaluateResult
from seal_runtime.bench.table import aligned
from seal_runtime.config.loading import load_resolved
from seal_runtime.config.topology import Topology
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.report.gather import gather
from seal_runtime.report.model import AgentShare
from seal_runtime.report.shares import STAGES, agent_shares, throughput
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.tasks.registry import make_task

PURE_TASKS = ("fictional", "squad", "arc")
"""Tasks whose graders only compare texts."""

_WORDS = {"propose": "proposing", "adapt": "adapting", "evaluate": "evaluating", "credit": "crediting", "policy": "policy update"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTime:
    """One agent's time, as shares of the seconds that it was there. Kinds of work may overlap; `waiting` is time without any."""

    agent: str
    present_seconds: float
    num_jobs: int
    shares: dict[str, float]
    waiting: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEndResult:
    """A run as a whole. `seconds_a_job` is the mean time from a job's start to its result; jobs overlap.

    `grading_seconds` is what the graders need for all answers of the run, timed anew: None for a task of one's own, whose grader may
    be remote and cost money. `wall_seconds` goes from the first job's start to the last one's end, without starting processes.
    """

    run: str
    num_scored: int
    wall_seconds: float
    edits_per_hour: float
    num_jobs: dict[str, int]
    seconds_a_job: dict[str, float]
    agents: tuple[AgentTime, ...]
    grading_seconds: float | None

    def to_json(self) -> str:
        """Return indented JSON."""
        return json.dumps(asdict(self), indent=2)


def measure_run(run_dir: Path) -> EndToEndResult:
    """Read a run. Raises LedgerError or ConfigError for one that cannot be read."""
    paths = RunDirectory(run_dir)
    with LedgerReader(paths.ledger) as ledger:
        gathered = gather(ledger.results(), [], lambda _context, _text, _resamples: True)
        grading_seconds = _grading_seconds(load_resolved(paths.topology), ledger)
        shares = agent_shares(gathered.spans, ledger.agents())
    whole = throughput(gathered)
    return EndToEndResult(
        run=run_dir.name,
        num_scored=whole.num_scored,
        wall_seconds=whole.wall_seconds,
        edits_per_hour=whole.edits_per_hour or 0.0,
        num_jobs=whole.jobs,
        seconds_a_job={stage: whole.job_seconds[stage] / count for stage, count in whole.jobs.items() if count},
        agents=tuple(_agent_time(share) for share in shares),
        grading_seconds=grading_seconds,
    )


def format_end_to_end(result: EndToEndResult) -> str:
    """Return the result as text."""
    used = [stage for stage in STAGES if any(agent.shares.get(stage) for agent in result.agents)]
    rows: list[Sequence[str]] = [("agent", "there s", "jobs", *(_WORDS.get(stage, stage) for stage in used), "waiting")]
    rows += [
        (
            agent.agent,
            f"{agent.present_seconds:.1f}",
            str(agent.num_jobs),
            *(f"{100 * agent.shares.get(stage, 0.0):.0f} %" for stage in used),
            f"{100 * agent.waiting:.0f} %",
        )
        for agent in result.agents
    ]
    jobs = ", ".join(
        f"{count} {_WORDS.get(stage, stage)} ({result.seconds_a_job.get(stage, 0.0):.2f} s)" for stage, count in result.num_jobs.items()
    )
    return "\n".join(
        [
            f"{result.run}: {result.num_scored} self-edits scored in {result.wall_seconds:.1f} s = {result.edits_per_hour:,.0f} an hour",
            f"jobs (mean time of one, many at once): {jobs}",
            "",
            *aligned(rows),
            "",
            f"evaluating includes grading, which runs beside it{_grading(result)}; waiting is time with no job at hand",
        ]
    )


def _grading(result: EndToEndResult) -> str:
    return "" if result.grading_seconds is None else f" ({result.grading_seconds:.2g} s for all answers of the run)"


def _grading_seconds(topology: Topology, ledger: LedgerReader) -> float | None:
    """Grade every answer of the run once more and return the seconds that it took."""
    if topology.task.name not in PURE_TASKS:
        return None
    task, seconds = make_task(topology.task), 0.0
    for row in ledger.results():
        if isinstance(row.job, EvaluateJob) and isinstance(row.result, EvaluateResult):
            start = time.perf_counter()
            for question, answer in zip(row.job.questions, row.result.answers, strict=True):
                task.grade(question, answer.text)
            seconds += time.perf_counter() - start
    return seconds


def _agent_time(share: AgentShare) -> AgentTime:
    present = share.present_seconds
    return AgentTime(
        agent=share.agent,
        present_seconds=present,
        num_jobs=share.num_jobs,
        shares={stage: seconds / present for stage, seconds in share.busy_seconds.items()} if present > 0 else {},
        waiting=max(0.0, 1.0 - share.busy_share) if present > 0 else 0.0,
    )
