"""What every job of a run costs its engine, and the answer that it gets in a simulation. Every answer is a function of its job."""

import hashlib
from dataclasses import dataclass

from protocol.jobs import (
    AdapterRef,
    AdaptJob,
    AdaptResult,
    CreditJob,
    EvaluateJob,
    EvaluateResult,
    GeneratedEdit,
    GradedAnswer,
    Job,
    JobResult,
    ProposeJob,
    ProposeResult,
    Receipt,
    Role,
)
from seal_runtime.algorithms.rest_em import RestEM
from seal_runtime.algorithms.statistics import mean
from seal_runtime.config.topology import Topology
from seal_runtime.planning.batch_server import EngineJob
from seal_runtime.planning.made_up_task import PASSAGE
from seal_runtime.planning.step_cost import StepCost
from seal_runtime.planning.workload import EditProfile, TrainingLoad, Workload, training_load
from seal_runtime.seeds import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """The cost of a step by role, and what is beside the steps. `policy_factor` is what a step of a policy update costs more than its
    rows say (a larger adapter); `token_seconds` reads a token of a prompt; `startup_seconds` is from an agent's start until it is ready.
    """

    costs: dict[Role, StepCost]
    pair_units: float
    policy_factor: float
    proposer_token_seconds: float
    evaluator_token_seconds: float
    adapter_load_seconds: float
    startup_seconds: float


class Service:
    """Jobs in, work and answers out, for one topology and workload."""

    def __init__(self, topology: Topology, workload: Workload, times: ServiceTimes) -> None:
        self._workload = workload
        self._times = times
        self._algorithm = RestEM(topology.algorithm)
        self._seed = topology.run.seed
        self._passage = EditProfile(written_tokens=0, lengths=(workload.passage_tokens,))
        self._loads: dict[tuple[tuple[str, ...], int], TrainingLoad] = {}

    def engine_job(self, job: Job) -> EngineJob:
        """Return what an engine has to do for a job."""
        match job:
            case ProposeJob():
                return self._propose(job)
            case AdaptJob():
                return self._adapt(job)
            case EvaluateJob():
                units = float(len(job.questions))
                lead = self._times.evaluator_token_seconds * self._workload.question_tokens * units
                lead += self._times.adapter_load_seconds if job.adapter is not None else 0.0
                steps = min(self._workload.answer_tokens, job.max_new_tokens)
                return EngineJob(job_id=job.job_id, num_steps=steps, units=units, lead_seconds=lead, version=job.policy.version)
            case CreditJob():
                return EngineJob(job_id=job.job_id, num_steps=1, units=1.0, lead_seconds=0.0, version=0)

    def answer(self, job: Job) -> JobResult:
        """Return an answer that the controller accepts."""
        match job:
            case ProposeJob():
                edits = tuple(
                    GeneratedEdit(text=str(self._profile_of(seed)), token_ids=(0,), logprobs=(-1.0,), finish_reason="stop")
                    for seed in job.seeds
                )
                return ProposeResult(edits=edits, prompt_tokens=self._workload.prompt_tokens, prompt_truncated=0)
            case AdaptJob():
                adapter = AdapterRef(sha256=hashlib.sha256(job.job_id.encode()).hexdigest(), rank=job.lora.rank, num_bytes=1)
                steps = self._load(job).num_steps
                return AdaptResult(adapter=adapter, num_steps=steps, num_tokens=1, num_truncated=0, first_loss=2.0, final_loss=1.0)
            case EvaluateJob():
                return _graded(job)
            case CreditJob():
                return self._algorithm.credit(job)

    def _propose(self, job: ProposeJob) -> EngineJob:
        limit = job.sampling.max_new_tokens
        written = [min(limit, self._workload.profiles[self._profile_of(seed)].written_tokens) for seed in job.seeds]
        steps = max(1, *written)
        lead = self._times.proposer_token_seconds * self._workload.prompt_tokens
        return EngineJob(job_id=job.job_id, num_steps=steps, units=sum(written) / steps, lead_seconds=lead, version=job.policy.version)

    def _adapt(self, job: AdaptJob) -> EngineJob:
        load = self._load(job)
        units = load.rows + self._times.pair_units * load.pairs
        units *= self._times.policy_factor if job.purpose == "policy" else 1.0
        return EngineJob(job_id=job.job_id, num_steps=load.num_steps, units=units, lead_seconds=0.0, version=job.policy.version)

    def _load(self, job: AdaptJob) -> TrainingLoad:
        """Return what a training asks of an engine: each sequence of the job names the profile of an edit, or the passage."""
        names = tuple(sequence.completion for sequence in job.sequences)
        if job.purpose == "policy":
            written = [self._named(name).written_tokens for name in names]
            return training_load([min(job.optim.max_length, self._workload.prompt_tokens + tokens) for tokens in written], job.optim)
        key = (names, job.optim.num_steps)
        if key not in self._loads:
            self._loads[key] = training_load([length for name in names for length in self._named(name).lengths], job.optim)
        return self._loads[key]

    def _named(self, name: str) -> EditProfile:
        return self._passage if name == PASSAGE else self._workload.profiles[int(name)]

    def _profile_of(self, seed: int) -> int:
        return derive_seed(self._seed, "profile", seed) % len(self._workload.profiles)


def _graded(job: EvaluateJob) -> EvaluateResult:
    sha256 = job.adapter.sha256 if job.adapter is not None else ""
    score = int(sha256[:4] or "0", 16) / 65_535
    delta = 0.5 if sha256 else 0.0
    receipt = Receipt(adapter_sha256=sha256, policy_version=job.policy.version, policy_sha256s=job.policy.sha256s, probe_delta=delta)
    answers = tuple(GradedAnswer(question_id=question.question_id, text=str(score), score=score) for question in job.questions)
    return EvaluateResult(answers=answers, score=mean([answer.score for answer in answers]), receipt=receipt)
