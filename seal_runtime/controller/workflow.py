"""What follows from a result: the life of a self-edit, of a study and of a round. Pure; knows nothing of agents, leases or attempts.

    propose -> adapt (each replicate) -> evaluate -> score        every self-edit; one that trains nothing is evaluated at once
    all self-edits of a round settled -> credit -> policy update  the outer loop, which opens the next studies

Invariants: the same results in any order give the same jobs, scores and policies; only studies of purpose `reward` (and the baseline
that a round asked for, on the same contexts) reach a CreditJob; what could not be measured is never a score.
"""

from protocol.jobs import AdapterRef, AdaptResult, CreditResult, EvaluateResult, JobResult, PolicyUpdate, ProposeResult
from seal_runtime.config.topology import Topology
from seal_runtime.controller.answer_rules import answer_rules
from seal_runtime.controller.commands import Command, Commit, Finish, WriteMetrics
from seal_runtime.controller.continual_study import ContinualStudy, figures_of
from seal_runtime.controller.edit_start import EditStarter
from seal_runtime.controller.effects import Effects
from seal_runtime.controller.held_adapters import HeldAdapters
from seal_runtime.controller.joint_study import JointStudy
from seal_runtime.controller.lineage import Lineage, credit_groups
from seal_runtime.controller.plan import Plan
from seal_runtime.controller.progress import EditProgress, StudyProgress
from seal_runtime.controller.study import Study
from seal_runtime.controller.truncation import Truncation
from seal_runtime.controller.work import Work, WorkFactory
from seal_runtime.ledger.records import NOT_APPLICABLE, JobKey, SetAsideRecord
from seal_runtime.tasks.base import Task


class Workflow:
    """The run as data: open studies, policy versions, and what each result sets off."""

    def __init__(self, topology: Topology, task: Task, plan: Plan) -> None:
        self.plan = plan
        self.studies: dict[str, StudyProgress] = {}
        self.lineage = Lineage()
        self._updates: dict[int, tuple[Study, PolicyUpdate | None]] = {}
        self.truncation = Truncation()
        self._topology = topology
        self._task = task
        self._factory = WorkFactory(topology, answer_rules(task))
        self._starter = EditStarter(topology, task, self._factory)
        self._adapters = HeldAdapters(self.lineage, keeps_all=topology.run.keep_adapters == "all")
        self._flows: dict[str, JointStudy | ContinualStudy] = {}

    def start(self, now: float) -> Effects:
        """Open everything that the base model, version 0, allows."""
        effects = Effects()
        effects.commands += self.lineage.begin()
        self._open_version(0, effects, now)
        return effects

    def apply(self, work: Work, result: JobResult, now: float) -> Effects:
        """Enter a checked result. Each job's result is entered once (the caller's promise)."""
        effects = Effects()
        progress, flow = self.studies[work.key.study], self._flows.get(work.key.study)
        match result:
            case _ if flow is not None:
                flow.apply(work, result, effects)
            case ProposeResult():
                self._proposed(progress, work.key, result, effects)
            case AdaptResult() if work.key.stage == "policy":
                effects.commands += self.truncation.of_training(work.key, result)
                self._advance(progress.study, result.adapter, effects, now)
            case AdaptResult():
                self._adapted(progress, work.key, result, effects)
            case EvaluateResult():
                self._evaluated(progress, work, result, effects)
            case CreditResult():
                self._credited(progress.study, result, effects, now)
        self._after(progress, effects, now)
        return effects

    def set_aside(self, work: Work, reason: str, now: float) -> Effects:
        """Go on without a job. A round cannot go on without its credit and its update: then the run fails, to be resumed."""
        effects = Effects()
        if work.is_critical:
            effects.finish = Finish(phase="failed", reason=f"{work.job_id} could not be done: {reason}")
            return effects
        progress, key = self.studies[work.key.study], work.key
        effects.commands.append(Commit(record=SetAsideRecord(job_id=work.job_id, reason=reason)))
        if key.study in self._flows:
            self._flows[key.study].set_aside(work, reason, effects)
        elif key.stage == "propose":
            for edit in _proposed_edits(progress, key):
                progress.lose(edit, reason, progress.study.replicates)
        else:
            self._release_adapter(work, effects)
            progress.lose(progress.edit(key.context_id, key.edit_index), reason)
        self._after(progress, effects, now)
        return effects

    def needs_adapter(self, sha256: str) -> bool:
        """Say whether an adapter is a policy's or waits for its grade."""
        return self._adapters.needs(sha256)

    def forget_unless_needed(self, adapter: AdapterRef) -> list[Command]:
        """Return the command that deletes an adapter which nothing will ask for again, or none."""
        return self._adapters.forget_unless_needed(adapter)

    def _open_version(self, version: int, effects: Effects, now: float) -> None:
        for study in self.plan.opened_by_policy(version):
            self._open(study, effects, now)

    def _open(self, study: Study, effects: Effects, now: float) -> None:
        policy = self.lineage.policy(study.policy_version)
        progress = self.studies[study.name] = StudyProgress(study, policy, now)
        effects.log("study_opened", study=study.name, policy_version=study.policy_version, items=study.num_items)
        flow = self._flow(progress)
        if flow is not None:
            self._flows[study.name] = flow
            flow.open(effects)
            self._after(progress, effects, now)
            return
        steps = self.studies[study.steps_of].mean_steps() if study.steps_of else {}
        for instance in study.instances:
            if study.source == "policy":
                effects.works.append(self._factory.propose(study, policy, instance))
            elif study.source == "none":
                effects.works.append(self._factory.evaluate(study, policy, instance, 0, 0, None))
            else:
                edit = progress.edit(instance.instance_id, 0)
                self._starter.start(progress, instance, edit, None, effects, num_steps=steps.get(instance.instance_id, 0))
        self._after(progress, effects, now)

    def _flow(self, progress: StudyProgress) -> JointStudy | ContinualStudy | None:
        """Return what leads a study whose self-edits have a common life; None where each has its own."""
        if progress.study.is_joint:
            return JointStudy(self._topology, self._task, self._factory, progress, self._adapters, self.truncation)
        if progress.study.sequence_length:
            return ContinualStudy(self._topology, self._task, self._factory, progress, self._adapters, self.truncation)
        return None

    def _proposed(self, progress: StudyProgress, key: JobKey, result: ProposeResult, effects: Effects) -> None:
        context = progress.contexts[key.context_id]
        effects.commands += self.truncation.of_prompt(key, result)
        num_resamples = max(0, key.replicate)
        for edit, generated in zip(_proposed_edits(progress, key), result.edits, strict=True):
            # Only the critic asks for the text again; the ledger has it for everybody else.
            edit.generated = generated if progress.study.purpose == "reward" else None
            if self._starter.start(progress, context.instance, edit, generated.text, effects, num_resamples=num_resamples):
                progress.count_text(key.context_id, generated)

    def _adapted(self, progress: StudyProgress, key: JobKey, result: AdaptResult, effects: Effects) -> None:
        effects.commands += self.truncation.of_training(key, result)
        progress.edit(key.context_id, key.edit_index).num_steps.append(result.num_steps)
        self._adapters.hold(result.adapter)
        instance = progress.contexts[key.context_id].instance
        effects.works.append(
            self._factory.evaluate(progress.study, progress.policy, instance, key.edit_index, key.replicate, result.adapter)
        )

    def _evaluated(self, progress: StudyProgress, work: Work, result: EvaluateResult, effects: Effects) -> None:
        key, score = work.key, result.score
        progress.score(progress.edit(key.context_id, key.edit_index), key.replicate, score)
        effects.log("edit_graded", study=key.study, context=key.context_id, edit=key.edit_index, replicate=key.replicate, reward=score)
        self._release_adapter(work, effects)

    def _release_adapter(self, work: Work, effects: Effects) -> None:
        adapter: AdapterRef | None = getattr(work.job, "adapter", None)
        if adapter is not None:
            effects.commands += self._adapters.release(adapter)

    def _after(self, progress: StudyProgress, effects: Effects, now: float) -> None:
        """Close a study whose last self-edit was settled, and whatever waited for it."""
        study = progress.study
        if study.purpose == "reward" and progress.num_invalid * 2 > study.num_items and effects.finish is None:
            effects.finish = Finish(
                phase="failed",
                reason=f"{progress.num_invalid} of {study.num_items} self-edits of {study.name} could not be measured; a broken component "
                "must not teach. See the failures in the logs, repair it and `seal-runtime resume` the run",
            )
            return
        if progress.is_complete and not progress.is_closed:
            progress.is_closed = True
            effects.commands.append(_metrics(progress, now))
            for follower in self.plan.studies:
                if follower.steps_of == study.name:
                    self._open(follower, effects, now)
            self._credit_when_ready(study.round, effects)
        if self.is_done and effects.finish is None:
            effects.finish = Finish(phase="done", reason="all rounds and measurements are complete")

    @property
    def is_done(self) -> bool:
        """Say whether every study of the plan is complete and every round has given its policy."""
        opened_all = len(self.studies) == len(self.plan.studies) and self.lineage.latest.version == self.plan.num_rounds
        return opened_all and all(progress.is_closed for progress in self.studies.values())

    def _credit_when_ready(self, number: int, effects: Effects) -> None:
        studies = [self.studies.get(study.name) for study in self.plan.of_round(number)] if number else []
        if not studies or any(progress is None or not progress.is_closed for progress in studies):
            return
        rewards, baselines = _split_round([progress for progress in studies if progress is not None])
        effects.works.append(self._factory.credit(rewards.study, credit_groups(rewards, baselines)))

    def _credited(self, study: Study, result: CreditResult, effects: Effects, now: float) -> None:
        """Keep the update until it is its turn: with `algorithm.max_policy_lag` a round may be credited before the one before it."""
        self.studies[study.name].forget_texts()
        selected = sum(1 for credit in result.credits if credit.weight)
        effects.log("round_credited", round=study.round, credited=len(result.credits), selected=selected)
        self._updates[study.round] = (study, result.update)
        self._update_next(effects, now)

    def _update_next(self, effects: Effects, now: float) -> None:
        """Take the outer-loop step on top of the newest version, when its round is credited."""
        parent = self.lineage.latest
        study, update = self._updates.pop(parent.version + 1, (None, None))
        if study is None:
            return
        if update is None:
            self._advance(study, None, effects, now)
        else:
            effects.works.append(self._factory.policy(study, parent, update))

    def _advance(self, study: Study, adapter: AdapterRef | None, effects: Effects, now: float) -> None:
        effects.commands += self.lineage.advance(study.round, adapter)
        effects.log("policy_updated", policy_version=study.round, round=study.round, adapter=adapter.sha256 if adapter else "")
        self._open_version(study.round, effects, now)
        self._update_next(effects, now)


def _proposed_edits(progress: StudyProgress, key: JobKey) -> list[EditProgress]:
    """Return the edits that a proposal asked for: all of a context, or the one that it asked for again."""
    edits = progress.contexts[key.context_id].edits
    return edits if key.edit_index == NOT_APPLICABLE else [edits[key.edit_index]]


def _split_round(studies: list[StudyProgress]) -> tuple[StudyProgress, StudyProgress | None]:
    rewards = [progress for progress in studies if progress.study.purpose == "reward"]
    baselines = [progress for progress in studies if progress.study.purpose == "baseline"]
    assert len(rewards) == 1, "a round has one reward study"
    return rewards[0], baselines[0] if baselines else None


def _metrics(progress: StudyProgress, now: float) -> WriteMetrics:
    """Return the study's figures; what the agents did meanwhile is added by the state machine, which knows them."""
    status, study = progress.status(), progress.study
    return WriteMetrics(
        study=study.name,
        purpose=study.purpose,
        policy_version=study.policy_version,
        num_items=status.num_items,
        num_scored=status.num_scored,
        num_invalid=status.num_invalid,
        num_unparsed=status.num_unparsed,
        mean_score=status.mean_score,
        score_stderr=status.score_stderr,
        seconds=now - progress.opened_at,
        edits_per_hour=3600.0 * status.num_scored / (now - progress.opened_at) if now > progress.opened_at else None,
        time_shares=None,
        texts=progress.texts.figures(),
        continual=figures_of(progress),
    )
