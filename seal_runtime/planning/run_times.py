"""Service times and workload of a run, from its ledger.

A job's duration counts also its wait for a slot and what else was in its steps, so durations alone give no cost. The jobs of each agent are
therefore put through the same engine in virtual time, as they came: for each of a few ratios of what a step costs by itself to what a row
costs, the level is taken that keeps the agents busy for as long as they were, and of these costs one whose durations are about nearest.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protocol.jobs import AdaptJob, AdaptResult, CreditResult, EvaluateJob, ProposeJob, ProposeResult, Role
from seal_runtime.config.topology import Topology
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.records import ResultRow
from seal_runtime.planning.batch_server import BatchServer, EngineJob
from seal_runtime.planning.step_cost import StepCost
from seal_runtime.planning.workload import CHARACTERS_A_TOKEN, EditProfile, Workload, tokens_of
from seal_runtime.report.shares import covered_seconds

_RATIOS = (0.0, 10.0, 30.0, 100.0, 300.0)
"""Rows that cost as much as a step by itself."""
_TIE = 1.05
"""Of ratios whose errors are this near to the least the smallest is taken: a run whose engines are always full does not tell them apart."""
_MAX_JOBS = 2000
"""So many jobs of an agent tell its cost."""
_SECTIONS = 12
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_WEIGHT_OF_DURATIONS = 0.05

Arrival = tuple[float, float, EngineJob]
"""When the agent took a job, how long it had it, and the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimes:
    """What a run tells: costs by role (None where it had no such job), the policy update's factor, the mean credit, its workload."""

    costs: dict[Role, StepCost]
    policy_factor: float
    credit_seconds: float
    workload: Workload


def run_times(topology: Topology, ledger: LedgerReader, trainer_slots: int, name: str) -> RunTimes | None:
    """Return the times of a run, None for one without a finished inner loop."""
    rows = list(ledger.results())
    adapted = [row for row in rows if row.stage == "adapt"]
    if not adapted:
        return None
    workload = _workload(rows, name)
    evaluator_slots = topology.evaluator.max_concurrent_jobs
    slots: dict[Role, int] = {"proposer": topology.proposer.max_concurrent_jobs, "trainer": trainer_slots, "evaluator": evaluator_slots}
    by_role: dict[Role, list[ResultRow]] = {
        "proposer": [row for row in rows if row.stage == "propose"],
        "trainer": adapted,
        "evaluator": [row for row in rows if row.stage == "evaluate"],
    }
    costs: dict[Role, StepCost] = {}
    for role, members in by_role.items():
        agents = _arrivals(members, workload)
        if agents:
            costs[role] = fitted(agents, slots[role], f"measured: {len(members):,} jobs of run {name}")
    credits = [row.duration_seconds for row in rows if isinstance(row.result, CreditResult)]
    return RunTimes(
        costs=costs,
        policy_factor=_policy_factor([row for row in rows if row.stage == "policy"], costs["trainer"]),
        credit_seconds=sum(credits) / len(credits) if credits else 0.0,
        workload=workload,
    )


def fitted(agents: Sequence[Sequence[Arrival]], num_slots: int, source: str) -> StepCost:
    """Return the cost that explains the jobs of these agents best."""
    candidates = [_level(agents, num_slots, ratio, source) for ratio in _RATIOS]
    errors = [_error(agents, num_slots, candidate) for candidate in candidates]
    return next(candidate for candidate, error in zip(candidates, errors, strict=True) if error <= _TIE * min(errors))


def _level(agents: Sequence[Sequence[Arrival]], num_slots: int, ratio: float, source: str) -> StepCost:
    """Return the cost of this ratio that keeps the agents busy for as long as they were.

    Where agents always have something at work without being full, their busy time tells nothing; there the durations decide.
    """
    busy = sum(covered_seconds((at, at + seconds) for at, seconds, _ in jobs) for jobs in agents)
    durations = sum(seconds for jobs in agents for _, seconds, _ in jobs)

    def miss(unit: float) -> float:
        replays = [_replayed(jobs, num_slots, _cost(unit, ratio, source)) for jobs in agents]
        longer = sum(sum(found.values()) for found, _ in replays) / durations - 1.0
        busier = sum(seconds for _, seconds in replays) / busy - 1.0
        return busier**2 + _WEIGHT_OF_DURATIONS * longer**2

    alone = sum(job.num_steps * (ratio + job.units) for jobs in agents for _, _, job in jobs)
    return _cost(_least(miss, busy / alone / num_slots, durations / alone), ratio, source)


def _least(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function with one valley between two positive numbers is least (golden section, on a logarithmic scale)."""
    left, right = math.log(low), math.log(high)
    first, second = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
    at_first, at_second = function(math.exp(first)), function(math.exp(second))
    for _ in range(_SECTIONS):
        if at_first <= at_second:
            right, second, at_second = second, first, at_first
            first = right - _GOLDEN * (right - left)
            at_first = function(math.exp(first))
        else:
            left, first, at_first = first, second, at_second
            second = left + _GOLDEN * (right - left)
            at_second = function(math.exp(second))
    return math.exp((left + right) / 2)


def _error(agents: Sequence[Sequence[Arrival]], num_slots: int, cost: StepCost) -> float:
    total = 0.0
    for jobs in agents:
        durations, _ = _replayed(jobs, num_slots, cost)
        total += sum((durations[job.job_id] - seconds) ** 2 for _, seconds, job in jobs)
    return total


def _replayed(jobs: Sequence[Arrival], num_slots: int, cost: StepCost) -> tuple[dict[str, float], float]:
    """Put one agent's jobs through an engine; return their durations and its busy seconds."""
    server = BatchServer(cost, num_slots)
    taken = {job.job_id: at for at, _, job in jobs}
    durations: dict[str, float] = {}

    def until(at: float) -> None:
        while (end := server.next_end()) is not None and end <= at:
            durations.update({job_id: end - taken[job_id] for job_id in server.advance(end)})
        server.advance(at)

    for at, _, job in jobs:
        until(at)
        server.submit(job, at)
    while (end := server.next_end()) is not None:
        until(end)
    return durations, server.busy_seconds


def _cost(unit: float, ratio: float, source: str) -> StepCost:
    return StepCost(fixed_seconds=unit * ratio, floor_seconds=0.0, unit_seconds=unit, job_seconds=0.0, source=source)


def _arrivals(rows: Sequence[ResultRow], workload: Workload) -> list[list[Arrival]]:
    by_agent: dict[str, list[Arrival]] = {}
    for row in sorted(rows, key=lambda row: row.started_at):
        jobs = by_agent.setdefault(row.agent, [])
        if len(jobs) < _MAX_JOBS:
            jobs.append((row.started_at, row.duration_seconds, _engine_job(row, workload)))
    return list(by_agent.values())


def _engine_job(row: ResultRow, workload: Workload) -> EngineJob:
    steps, units = 1, 1.0
    match row.job, row.result:
        case ProposeJob(), ProposeResult() as result:
            written = [max(1, len(edit.token_ids)) for edit in result.edits]
            steps, units = max(written), sum(written) / max(written)
        case AdaptJob() as job, AdaptResult() as result:
            batches = -(-len(job.sequences) // job.optim.batch_size)
            steps, units = result.num_steps, max(1, result.num_tokens) / batches
        case EvaluateJob() as job, _:
            steps, units = min(workload.answer_tokens, job.max_new_tokens), float(len(job.questions))
        case _:
            raise AssertionError(f"{row.stage} has no engine")
    return EngineJob(job_id=row.job_id, num_steps=steps, units=units, lead_seconds=0.0, version=row.policy_version)


def _policy_factor(rows: Sequence[ResultRow], cost: StepCost) -> float:
    """Return how much longer the rows of a policy update take than those of an inner loop, alone at work; 1 where there was none."""
    factors = []
    for row in rows:
        assert isinstance(row.job, AdaptJob), row.job
        assert isinstance(row.result, AdaptResult), row.result
        rows_a_step = row.result.num_tokens / -(-len(row.job.sequences) // row.job.optim.batch_size)
        step = row.duration_seconds / row.result.num_steps
        if cost.unit_seconds > 0 and rows_a_step > 0:
            factors.append(max(0.0, step - cost.fixed_seconds) / (cost.unit_seconds * rows_a_step))
    return sum(factors) / len(factors) if factors else 1.0


def _workload(rows: Sequence[ResultRow], name: str) -> Workload:
    """Return the run's own edits; the lengths of an edit's sequences are its tokens in the proportions of their characters."""
    edits = {
        (row.study, row.context_id, index): len(edit.token_ids)
        for row in rows
        if isinstance(row.result, ProposeResult)
        for index, edit in enumerate(row.result.edits)
    }
    prompts = [row.result.prompt_tokens for row in rows if isinstance(row.result, ProposeResult)]
    profiles: list[EditProfile] = []
    questions: dict[str, tuple[int, int]] = {}
    for row in rows:
        key = (row.study, row.context_id, row.edit_index)
        if row.stage == "adapt" and key in edits and isinstance(row.job, AdaptJob) and isinstance(row.result, AdaptResult):
            characters = [max(1, len(sequence.prompt) + len(sequence.completion)) for sequence in row.job.sequences]
            share = row.result.num_tokens / sum(characters)
            lengths = tuple(max(1, round(share * count)) for count in characters)
            profiles.append(EditProfile(written_tokens=edits[key], lengths=lengths))
        if isinstance(row.job, EvaluateJob) and row.job.adapter is not None:
            asked = row.job.questions
            questions[row.context_id] = len(asked), sum(tokens_of(len(question.prompt)) for question in asked)
    limit = next((row.job.max_new_tokens for row in rows if isinstance(row.job, EvaluateJob)), 1)
    num_questions = sum(count for count, _ in questions.values())
    passages = [row for row in rows if row.study == "passage-only" and isinstance(row.result, AdaptResult)]
    alone = [row.result.num_tokens for row in passages if isinstance(row.result, AdaptResult)]
    mean_lengths = sum(sum(profile.lengths) for profile in profiles) / max(1, len(profiles))
    return Workload(
        profiles=tuple(profiles) or (EditProfile(written_tokens=1, lengths=(1,)),),
        passage_tokens=round(sum(alone) / len(alone)) if alone else round(mean_lengths / CHARACTERS_A_TOKEN),
        question_counts=tuple(count for count, _ in questions.values()) or (1,),
        prompt_tokens=round(sum(prompts) / len(prompts)) if prompts else 1,
        question_tokens=max(1, sum(tokens for _, tokens in questions.values()) // max(1, num_questions)),
        answer_tokens=min(8, limit),
        source=f"{len(profiles):,} self-edits of run {name}",
    )
