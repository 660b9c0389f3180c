"""After a power cut: adapters that many results are built on (`joint_study`, `continual_study`) and that are gone or damaged.

Such an adapter is trained again, and whatever was measured with it or trained on top of it is done again too: the new one need not be
the same to the bit on every machine, and a matrix made of two models would be none. Adapters with one use are `recovery`'s.
"""

from collections.abc import Iterator

import structlog

from protocol.jobs import AdaptResult
from seal_runtime.config.topology import Topology
from seal_runtime.controller.plan import Plan, make_plan
from seal_runtime.controller.recovery import committed_records, is_intact
from seal_runtime.controller.replay import replay
from seal_runtime.controller.study import Study
from seal_runtime.controller.workflow import Workflow
from seal_runtime.ledger import Ledger, LedgerReader
from seal_runtime.ledger.records import NOT_APPLICABLE, JobKey, ResultRow, Stage
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.tasks.base import Task

log = structlog.get_logger()


def forget_built_on_lost(ledger: Ledger, reader: LedgerReader, store: AdapterStore, topology: Topology, task: Task) -> None:
    """Let lost adapters that are still asked for be trained again, and forget what was built on them. Raises LedgerError."""
    plan = make_plan(topology, task)
    shared = {study.name: study for study in plan.studies if study.is_joint or study.sequence_length}
    rows = [row for name in shared for row in reader.results(study=name, stage="adapt")]
    damaged = [row for row in rows if isinstance(row.result, AdaptResult) and not is_intact(store, row.result.adapter.sha256)]
    if not damaged:
        return
    workflow = _replayed(topology, task, plan, reader)
    lost = [row for row in damaged if isinstance(row.result, AdaptResult) and workflow.needs_adapter(row.result.adapter.sha256)]
    ids = {key.job_id for row in lost for key in _built_on(shared[row.study], row)}
    known = ids & {*reader.job_ids("propose"), *reader.job_ids("adapt"), *reader.job_ids("evaluate")}
    for row in lost:
        assert isinstance(row.result, AdaptResult)
        store.remove(row.result.adapter.sha256)
    if lost:
        log.warning("adapters_lost", jobs=len(known), reason="missing or damaged after a crash; what was built on them is done again")
        ledger.forget_results(sorted(known))
        ledger.forget_set_aside(sorted(ids & {row.job_id for row in reader.set_aside()}))


def _replayed(topology: Topology, task: Task, plan: Plan, reader: LedgerReader) -> Workflow:
    """Return a workflow that stands where the run stands; nothing of it is carried out."""
    workflow = Workflow(topology, task, plan)
    replay(workflow, committed_records(reader), 0.0)
    return workflow


def _built_on(study: Study, row: ResultRow) -> Iterator[JobKey]:
    """Yield the jobs that need the adapter of `row`, and the one that made it."""
    if study.is_joint:
        yield _key("adapt", study, "", row.replicate, edit_index=NOT_APPLICABLE)
        for instance in study.instances:
            yield _key("evaluate", study, instance.instance_id, row.replicate)
        return
    sequence = next(sequence for sequence in study.sequences() if row.context_id in {instance.instance_id for instance in sequence})
    for step, instance in enumerate(sequence, start=1):
        if step > row.replicate:
            yield _key("propose", study, instance.instance_id, NOT_APPLICABLE, edit_index=NOT_APPLICABLE)
        if step >= row.replicate:
            yield _key("adapt", study, instance.instance_id, step)
        for number in range(row.replicate, study.replicates):
            yield _key("evaluate", study, instance.instance_id, number)


def _key(stage: Stage, study: Study, context_id: str, replicate: int, *, edit_index: int = 0) -> JobKey:
    return JobKey(stage=stage, study=study.name, context_id=context_id, edit_index=edit_index, replicate=replicate)
