"""Summarise a run: read its directory, fold the ledger, compute every figure that people are told.

Works on a run of any age, also one that is still going on or that failed: what is not there yet is None and said so.
"""

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import seal_runtime
from seal_runtime.config.loading import dump_topology, load_resolved
from seal_runtime.config.topology import Topology
from seal_runtime.errors import DataError, EditParseError
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.records import AgentRow, PolicyRow, ResultRow, SetAsideRow
from seal_runtime.report.alarms import report_alarms
from seal_runtime.report.changes import most_changed
from seal_runtime.report.continual import PlannedSequences, continual_matrices, continual_rows, continual_summaries, planned_sequences
from seal_runtime.report.forgetting import retention_matrix
from seal_runtime.report.gather import EditParser, Gathered, gather
from seal_runtime.report.joint import joint_rows
from seal_runtime.report.listing import edit_lines
from seal_runtime.report.measures import Scope, control_rows, paired_gain, scope_of, steps_share, table_rows
from seal_runtime.report.model import Identity, RunSummary
from seal_runtime.report.rounds import best_and_worst, policy_steps, round_summaries
from seal_runtime.report.shares import agent_shares, throughput
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.tasks.base import Instance, ScriptedTask, Task
from seal_runtime.tasks.registry import make_task

REPORTED_PACKAGES = ("torch", "transformers", "vllm")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """What was read of one run, folded. `meta` are the ledger's own facts (run_id, phase, started_at, finished_at)."""

    topology: Topology
    gathered: Gathered
    scope: Scope
    reward_instances: Mapping[str, Instance]
    heldout_instances: Mapping[str, Instance]
    continual_studies: tuple[PlannedSequences, ...]
    meta: Mapping[str, str]
    set_aside: Sequence[SetAsideRow]
    policies: Sequence[PolicyRow]
    agents: Sequence[AgentRow]


def summarise_run(run_dir: Path, control: Path | None = None) -> RunSummary:
    """Summarise the run in `run_dir`, beside the control run in `control` if there is one.

    Raises LedgerError, ConfigError or DataError when the run, its topology or its task cannot be read.
    """
    return summarise(load_records(run_dir), load_records(control) if control is not None else None)


def load_records(run_dir: Path) -> RunRecords:
    """Read and fold one run directory. Raises LedgerError, ConfigError, DataError."""
    paths = RunDirectory(run_dir)
    with LedgerReader(paths.ledger) as ledger:
        topology = load_resolved(paths.topology)
        return fold_records(
            topology,
            make_task(topology.task),
            rows=ledger.results(),
            set_aside=ledger.set_aside(),
            policies=ledger.policies(),
            agents=ledger.agents(),
            meta=ledger.meta(),
        )


def fold_records(
    topology: Topology,
    task: Task,
    *,
    rows: Iterable[ResultRow],
    set_aside: Sequence[SetAsideRow],
    policies: Sequence[PolicyRow],
    agents: Sequence[AgentRow],
    meta: Mapping[str, str],
) -> RunRecords:
    """Fold a ledger's rows with what the task knows about the contexts; `rows` is read once."""
    reward = _by_id(task.instances("reward"))
    heldout = _by_id(task.instances(topology.evaluation.split))
    return RunRecords(
        topology=topology,
        gathered=gather(rows, [row.job_id for row in set_aside], edit_parser(task, {**reward, **heldout}, topology.proposer.max_resamples)),
        scope=scope_of(
            topology,
            num_reward=len(reward),
            num_heldout=len(heldout),
            has_scripted=callable(getattr(task, "scripted_edit", None)),
            retention_questions=_num_retention_questions(task),
        ),
        reward_instances=reward,
        heldout_instances=heldout,
        continual_studies=planned_sequences(topology, list(heldout.values())),
        meta=meta,
        set_aside=set_aside,
        policies=policies,
        agents=agents,
    )


def summarise(records: RunRecords, control: RunRecords | None = None) -> RunSummary:
    """Compute the summary of folded records. Pure."""
    gathered, scope = records.gathered, records.scope
    continual = continual_summaries(gathered, records.continual_studies)
    joint = joint_rows(gathered, records.topology, len(records.heldout_instances))
    single = table_rows(gathered, scope)
    retention = tuple(row for row in single if row.group == "retention")
    rows = (*(row for row in single if row.group != "retention"), *joint, *continual_rows(continual), *retention)
    rounds = round_summaries(gathered, scope)
    agents = agent_shares(gathered.spans, records.agents)
    best, worst = best_and_worst(gathered, records.reward_instances)
    control_name = f"{control.topology.algorithm.select} edits" if control else ""
    return RunSummary(
        identity=_identity(records),
        table=rows + (control_rows(control.gathered, control.scope, control_name) if control else ()),
        gain=paired_gain(gathered, scope),
        control_gain=paired_gain(control.gathered, control.scope) if control else None,
        steps_share=steps_share(rows),
        rounds=rounds,
        best=best,
        worst=worst,
        most_changed=most_changed(gathered, records.reward_instances, records.heldout_instances),
        edits=edit_lines(gathered, records.reward_instances),
        matrices=(*continual_matrices(continual), *retention_matrix(gathered)),
        continual=continual,
        agents=agents,
        throughput=throughput(gathered),
        policies=policy_steps(gathered, records.policies),
        set_aside=tuple((row.job_id, row.reason) for row in records.set_aside),
        alarms=report_alarms(rounds, rows, agents, {agent.agent: agent.role for agent in records.agents}),
        topology_yaml=dump_topology(records.topology),
    )


def _num_retention_questions(task: Task) -> int:
    return len(cast(ScriptedTask, task).retention_questions()) if callable(getattr(task, "retention_questions", None)) else 0


def _algorithm(topology: Topology) -> str:
    algorithm = topology.algorithm
    lag = f", policy lag {algorithm.max_policy_lag}" if algorithm.max_policy_lag else ""
    return f"{algorithm.name} (select {algorithm.select}{lag})"


def _identity(records: RunRecords) -> Identity:
    topology, meta = records.topology, records.meta
    return Identity(
        run=topology.run.name,
        run_id=meta.get("run_id", ""),
        phase=meta.get("phase", "unknown"),
        reason=meta.get("reason", ""),
        seed=topology.run.seed,
        model=topology.model.path,
        task=topology.task.name,
        algorithm=_algorithm(topology),
        rounds=topology.run.rounds,
        split=topology.evaluation.split,
        versions=_versions(),
        started_at=_time(meta, "started_at"),
        finished_at=_time(meta, "finished_at"),
    )


def _versions() -> dict[str, str]:
    versions = {"seal-runtime": seal_runtime.__version__, "python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _time(meta: Mapping[str, str], key: str) -> float | None:
    """Return a time of the ledger's meta table; an empty or foreign value is no time."""
    try:
        return float(meta[key])
    except (KeyError, ValueError):
        return None


def _by_id(instances: Sequence[Instance]) -> dict[str, Instance]:
    return {instance.instance_id: instance for instance in instances}


def edit_parser(task: Task, instances: Mapping[str, Instance], max_resamples: int) -> EditParser:
    """Return the question whether the task can make training sequences of an edit, asked the way the controller asks.

    The question raises DataError for a context that is not among `instances`.
    """

    def parses(context_id: str, text: str, num_resamples: int) -> bool:
        instance = instances.get(context_id)
        if instance is None:
            raise DataError(
                f"the ledger speaks of context {context_id!r}, which the task does not have; make the report where the run's data is"
            )
        try:
            task.training_sequences(instance, text)
        except EditParseError:
            return num_resamples < max_resamples
        return True

    return parses
