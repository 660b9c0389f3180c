"""Work: a job with its place in the run, and the factory that writes every job of a run.

A job's content depends on the topology, the task and the results that it builds on, never on time or on who does it; so a restarted
controller writes the same jobs again. Every seed is derived here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from protocol.jobs import (
    ROLE_OF_JOB,
    AdapterRef,
    AdaptJob,
    CreditGroup,
    CreditJob,
    EvaluateJob,
    Job,
    LoraSpec,
    OptimSpec,
    PolicyRef,
    PolicyUpdate,
    ProposeJob,
    Role,
    TrainingSequence,
)
from seal_runtime.config.topology import Topology
from seal_runtime.controller.answer_rules import AnswerRules
from seal_runtime.controller.study import Study
from seal_runtime.ledger.records import NOT_APPLICABLE, JobKey, Stage
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.base import Instance

Priority = tuple[int, int, int, int]
"""Smaller first: a round's own step before all else, then the place of the study (two numbers), order of creation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job and what the controller knows about it.

    `is_of_proposal`: it is the first for a self-edit that a proposer wrote, its training or, where there is none, its examination.
    `shares_adapter`: other examinations keep its adapter at hand anyhow.
    """

    key: JobKey
    job: Job
    policy_version: int
    priority: Priority
    is_of_proposal: bool = False
    shares_adapter: bool = False

    @property
    def job_id(self) -> str:
        """Return the job's id."""
        return self.job.job_id

    @property
    def role(self) -> Role:
        """Return the role that can do it."""
        return ROLE_OF_JOB[type(self.job)]

    @property
    def is_critical(self) -> bool:
        """Say whether the run cannot go on without it (credit and policy updates)."""
        return self.key.stage in ("credit", "policy")


class WorkFactory:
    """Writes the jobs of one run."""

    def __init__(self, topology: Topology, rules: AnswerRules) -> None:
        self._topology = topology
        self._rules = rules
        self._run_seed = topology.run.seed
        self._order = count()

    def propose(self, study: Study, policy: PolicyRef, instance: Instance) -> Work:
        """Ask for all self-edits of one context."""
        key = self._key("propose", study.name, instance.instance_id)
        seeds = [derive_seed(self._run_seed, "propose", study.name, instance.instance_id, index) for index in range(study.num_proposals)]
        return self._work(key, self._proposal(key, policy, instance, seeds), study)

    def propose_again(self, study: Study, policy: PolicyRef, instance: Instance, edit_index: int, resample: int) -> Work:
        """Ask for one self-edit of a context again; `resample` counts from 1."""
        key = self._key("propose", study.name, instance.instance_id, edit_index, resample)
        seed = derive_seed(self._run_seed, "propose", study.name, instance.instance_id, edit_index, resample)
        return self._work(key, self._proposal(key, policy, instance, [seed]), study)

    def loop_seed(self, study: Study, instance: Instance, edit_index: int, replicate: int) -> int:
        """Return the seed from which a task makes the training data of one inner loop."""
        return derive_seed(self._run_seed, "inner-loop", study.name, instance.instance_id, edit_index, replicate)

    def adapt(
        self,
        study: Study,
        policy: PolicyRef,
        instance: Instance,
        edit_index: int,
        replicate: int,
        sequences: tuple[TrainingSequence, ...],
        optim: OptimSpec,
    ) -> Work:
        """Ask for one inner loop."""
        key = self._key("adapt", study.name, instance.instance_id, edit_index, replicate)
        job = AdaptJob(
            job_id=key.job_id,
            purpose="inner",
            policy=policy,
            sequences=sequences,
            lora=self._topology.trainer.lora.spec(),
            optim=optim,
            seed=derive_seed(self._run_seed, "adapt", study.name, instance.instance_id, edit_index, replicate),
        )
        return replace(self._work(key, job, study), is_of_proposal=study.source == "policy")

    def evaluate(
        self, study: Study, policy: PolicyRef, instance: Instance, edit_index: int, replicate: int, adapter: AdapterRef | None
    ) -> Work:
        """Ask for the examination of one adapter, or of the policy itself."""
        key = self._key("evaluate", study.name, instance.instance_id, edit_index, replicate)
        job = EvaluateJob(
            job_id=key.job_id,
            policy=policy,
            adapter=adapter,
            questions=instance.questions,
            max_new_tokens=self._topology.evaluator.max_new_tokens,
            stop=self._rules.stop,
            scoring="mean" if study.purpose == "retention" else self._rules.scoring,
        )
        is_shared = study.is_joint or study.sequence_length > 0
        is_of_proposal = study.source == "policy" and adapter is None and not is_shared
        return replace(self._work(key, job, study), is_of_proposal=is_of_proposal, shares_adapter=is_shared)

    def joint(
        self,
        study: Study,
        policy: PolicyRef,
        replicate: int,
        sequences: tuple[TrainingSequence, ...],
        lora: LoraSpec,
        optim: OptimSpec,
    ) -> Work:
        """Ask for the one adapter of all contexts."""
        key = self._key("adapt", study.name, "", replicate=replicate)
        seed = derive_seed(self._run_seed, "adapt", study.name, "", NOT_APPLICABLE, replicate)
        job = AdaptJob(job_id=key.job_id, purpose="inner", policy=policy, sequences=sequences, lora=lora, optim=optim, seed=seed)
        return replace(self._work(key, job, study), is_of_proposal=study.source == "policy")

    def credit(self, study: Study, groups: Sequence[CreditGroup]) -> Work:
        """Ask for the credit of a round."""
        key = self._key("credit", study.name, "")
        seed = derive_seed(self._run_seed, "credit", study.name)
        return self._work(key, CreditJob(job_id=key.job_id, round=study.round, seed=seed, groups=tuple(groups)), study)

    def policy(self, study: Study, parent: PolicyRef, update: PolicyUpdate) -> Work:
        """Ask for the outer-loop step of a round."""
        key = self._key("policy", study.name, "")
        job = AdaptJob(
            job_id=key.job_id,
            purpose="policy",
            policy=parent,
            sequences=update.sequences,
            lora=update.lora,
            optim=update.optim,
            seed=update.seed,
        )
        return self._work(key, job, study, version=parent.version)

    def _proposal(self, key: JobKey, policy: PolicyRef, instance: Instance, seeds: Sequence[int]) -> ProposeJob:
        sampling = self._topology.proposer.sampling.spec()
        return ProposeJob(job_id=key.job_id, policy=policy, prompt=instance.prompt, sampling=sampling, seeds=tuple(seeds))

    def _key(self, stage: Stage, study: str, context_id: str, edit_index: int = NOT_APPLICABLE, replicate: int = NOT_APPLICABLE) -> JobKey:
        return JobKey(stage=stage, study=study, context_id=context_id, edit_index=edit_index, replicate=replicate)

    def _work(self, key: JobKey, job: Job, study: Study, version: int | None = None) -> Work:
        """Return the work; `version` is that of a policy update's parent, of all else the study says it."""
        urgency = 0 if key.stage in ("credit", "policy") else 1
        priority = (urgency, *study.priority, next(self._order))
        return Work(key=key, job=job, policy_version=study.policy_version if version is None else version, priority=priority)
