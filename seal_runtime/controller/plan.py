"""What a run consists of: its studies, fixed by the topology and the task before the first job.

A study is a set of contexts that one policy version is measured on in one way. Reward studies use the reward split only and are the
only ones that credit ever sees; everything else is measured on held-out contexts. Pure: the same inputs give the same plan.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from protocol.jobs import Question
from seal_runtime.config.topology import Topology
from seal_runtime.controller.held_out_plan import continual_studies, cpt_studies
from seal_runtime.controller.study import EditSource, Purpose, Study
from seal_runtime.errors import ConfigError, DataError
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.base import Instance, ScriptedTask, Task

RETENTION_CHUNK = 40
"""Retention questions in one evaluation job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All studies of a run in the order in which they are opened, and what people should know about it."""

    studies: tuple[Study, ...]
    notes: tuple[str, ...]
    num_rounds: int

    def study(self, name: str) -> Study:
        """Return a study by name."""
        return next(study for study in self.studies if study.name == name)

    def opened_by_policy(self, version: int) -> list[Study]:
        """Return the studies that may begin as soon as the policy version exists."""
        return [study for study in self.studies if study.policy_version == version and not study.steps_of]

    def of_round(self, number: int) -> list[Study]:
        """Return the studies that must be complete before the round's credit."""
        return [study for study in self.studies if study.round == number]


def make_plan(topology: Topology, task: Task) -> Plan:
    """Return the studies of a run. Raises ConfigError when there is nothing to learn from, DataError for unusable instances."""
    rounds, lag = topology.run.rounds, topology.algorithm.max_policy_lag
    notes = _lag_note(rounds, lag)
    studies: list[Study] = []
    if rounds:
        studies += _reward_studies(topology, _checked(task.instances("reward"), "reward"), notes)
    if topology.evaluation.num_contexts:
        split = topology.evaluation.split
        available = _checked(task.instances(split), split)
        studies += _heldout_studies(topology, task, available[: topology.evaluation.num_contexts])
        notes += _shortfall(f"held-out contexts ({split} split)", topology.evaluation.num_contexts, len(available))
    if topology.evaluation.cpt.num_contexts or topology.evaluation.continual.num_sequences:
        available = _checked(task.instances(topology.evaluation.split), topology.evaluation.split)
        studies += cpt_studies(topology, task, available, notes)
        studies += continual_studies(topology, available, notes)
    questions = _retention_questions(task) if topology.evaluation.retention else ()
    studies += [_retention(version, questions) for version in dict.fromkeys((0, rounds)) if questions]
    if not studies:
        raise ConfigError(
            "expected something to do, got run.rounds 0 and no evaluation; set run.rounds, evaluation.num_contexts, "
            "evaluation.cpt.num_contexts or evaluation.continual.num_sequences to at least 1"
        )
    return Plan(studies=tuple(studies), notes=tuple(notes), num_rounds=rounds)


def round_contexts(topology: Topology, available: Sequence[Instance], round_number: int) -> tuple[Instance, ...]:
    """Return the contexts of a round: the same for all rounds, or others each round with `algorithm.resample_contexts`."""
    shuffled = list(available)
    draw = round_number if topology.algorithm.resample_contexts else 0
    random.Random(derive_seed(topology.run.seed, "contexts", draw)).shuffle(shuffled)
    return tuple(shuffled[: topology.algorithm.contexts_per_round])


def round_version(round_number: int, max_policy_lag: int) -> int:
    """Return the policy version that a round's self-edits are written, trained and examined on."""
    return max(0, round_number - 1 - max_policy_lag)


def _reward_studies(topology: Topology, available: Sequence[Instance], notes: list[str]) -> list[Study]:
    algorithm = topology.algorithm
    if not available:
        raise ConfigError(f"expected instances in the reward split of task {topology.task.name!r}, got none; raise task.limit or add data")
    notes += _shortfall("reward contexts", algorithm.contexts_per_round, len(available))
    studies = []
    for number in range(1, topology.run.rounds + 1):
        contexts = round_contexts(topology, available, number)
        version = round_version(number, algorithm.max_policy_lag)
        studies.append(
            Study(
                name=f"round-{number}",
                purpose="reward",
                source="policy",
                policy_version=version,
                round=number,
                instances=contexts,
                edits_per_context=algorithm.edits_per_context,
                replicates=algorithm.replicates,
                steps_of="",
                num_proposals=algorithm.edits_per_context,
                sequence_length=0,
            )
        )
        if algorithm.select == "improved":
            name = f"baseline-round-{number}" if algorithm.max_policy_lag else f"baseline-v{version}"
            studies.append(_single(name, "baseline", "none", version, contexts, round_number=number))
    return studies


def _heldout_studies(topology: Topology, task: Task, contexts: Sequence[Instance]) -> list[Study]:
    if not contexts:
        return []
    evaluation, last = topology.evaluation, topology.run.rounds
    versions = [version for version in range(last + 1) if version % evaluation.every_rounds == 0 or version == last]
    studies = [
        Study(
            name=f"heldout-v{version}",
            purpose="heldout",
            source="policy",
            policy_version=version,
            round=0,
            instances=tuple(contexts),
            edits_per_context=evaluation.edits_per_context,
            replicates=1,
            steps_of="",
            num_proposals=evaluation.edits_per_context,
            sequence_length=0,
        )
        for version in versions
    ]
    if evaluation.baselines:
        studies.append(_single("no-update", "baseline", "none", 0, contexts))
        studies.append(_single("passage-only", "baseline", "empty", 0, contexts))
        if callable(getattr(task, "scripted_edit", None)):
            studies.append(_single("scripted", "baseline", "scripted", 0, contexts))
        studies.append(_single("passage-only-equal-steps", "baseline", "empty", 0, contexts, steps_of=f"heldout-v{last}"))
    return studies


def _single(
    name: str,
    purpose: Purpose,
    source: EditSource,
    version: int,
    instances: Sequence[Instance],
    *,
    round_number: int = 0,
    steps_of: str = "",
) -> Study:
    """Return a study of one edit, or none, a context."""
    return Study(
        name=name,
        purpose=purpose,
        source=source,
        policy_version=version,
        round=round_number,
        instances=tuple(instances),
        edits_per_context=1,
        replicates=1,
        steps_of=steps_of,
        num_proposals=1,
        sequence_length=0,
    )


def _retention(version: int, questions: tuple[Question, ...]) -> Study:
    """Return the study that asks what the base model knew; chunks of questions stand in for contexts."""
    chunks = [questions[start : start + RETENTION_CHUNK] for start in range(0, len(questions), RETENTION_CHUNK)]
    instances = [
        Instance(instance_id=f"known-{index}", title="", context="", prompt="", questions=chunk) for index, chunk in enumerate(chunks)
    ]
    return _single(f"retention-v{version}", "retention", "none", version, instances)


def _retention_questions(task: Task) -> tuple[Question, ...]:
    if callable(getattr(task, "retention_questions", None)):
        return tuple(cast(ScriptedTask, task).retention_questions())
    return ()


def _checked(instances: Sequence[Instance], split: str) -> Sequence[Instance]:
    """Return the instances. Raises DataError for one without questions or a repeated id: neither could be scored."""
    seen: set[str] = set()
    for instance in instances:
        if not instance.questions:
            raise DataError(f"instance {instance.instance_id!r} of the {split} split has no questions; remove it or ask at least one")
        if instance.instance_id in seen:
            raise DataError(f"instance id {instance.instance_id!r} occurs twice in the {split} split; make the ids unique")
        seen.add(instance.instance_id)
    return instances


def _lag_note(rounds: int, lag: int) -> list[str]:
    if not lag or lag < rounds - 1:
        return []
    return [f"algorithm.max_policy_lag is {lag} and run.rounds is {rounds}: every round's edits are the base model's"]


def _shortfall(what: str, wanted: int, available: int) -> list[str]:
    return [f"{wanted} {what} were asked for, the task has {available}: using {available}"] if available < wanted else []
