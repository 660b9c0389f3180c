"""Before a controller begins: what did the ones before it commit, and is everything that it names still there?

An inner-loop adapter is not synced to disk (there are thousands); after a power cut one that is damaged is trained again. Policies are.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

import structlog

from protocol.jobs import AdaptResult
from seal_runtime.controller.commands import Finish
from seal_runtime.controller.policy_files import restore_policy_adapter
from seal_runtime.errors import StoreError
from seal_runtime.ledger import Ledger, LedgerReader
from seal_runtime.ledger.records import ResultRow, SetAsideRow
from seal_runtime.ledger.study_names import CONTINUAL_PREFIX, CPT_PREFIX
from seal_runtime.store.adapters import AdapterStore, adapter_sha256
from seal_runtime.store.run_directory import RunDirectory

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of the run from before: how many controllers it had, since when (seconds since the epoch), for how long."""

    epoch: int
    started_at: float
    active_seconds: float


def open_history(ledger: Ledger, run: RunDirectory, store: AdapterStore, *, run_id: str, now: float) -> History:
    """Repair what can be repaired, note this controller's start in the ledger, and return the run's history.

    Raises LedgerError or StoreError when the run cannot go on.
    """
    meta = ledger.meta()
    with LedgerReader(run.ledger) as reader:
        if meta.get("phase") == "failed":
            _give_another_chance(ledger, reader)
        _check_policies(reader, run, store)
        _forget_lost_adapters(ledger, reader, store)
    epoch = int(meta.get("epoch", "-1")) + 1
    started_at = float(meta.get("started_at", now))
    facts = {"run_id": run_id, "epoch": str(epoch), "started_at": repr(started_at)}
    if meta.get("phase") != "done":
        facts |= {"phase": "running", "reason": "", "finished_at": ""}
    ledger.commit((), now=now, meta=facts)
    return History(epoch=epoch, started_at=started_at, active_seconds=float(meta.get("active_seconds", "0")))


def finish_before(ledger: Ledger) -> Finish | None:
    """Return how the run ended when it is done: then nothing is left to do, and what the ledger says of its end stays as it is."""
    meta = ledger.meta()
    return Finish(phase="done", reason=meta.get("reason", "")) if meta.get("phase") == "done" else None


def committed_records(reader: LedgerReader) -> Iterator[ResultRow | SetAsideRow]:
    """Yield results and jobs set aside in the order of their commits."""
    streams: list[Iterable[ResultRow | SetAsideRow]] = [reader.results(), reader.set_aside()]
    yield from heapq.merge(*streams, key=attrgetter("seq"))


def _give_another_chance(ledger: Ledger, reader: LedgerReader) -> None:
    """Take back what was set aside in rounds that are not credited: the failure that ended the run has been repaired, one hopes."""
    credited = {job_id.partition("/")[0] for job_id in reader.job_ids("credit")}
    again = [row.job_id for row in reader.set_aside() if row.job_id.partition("/")[0] not in credited and row.job_id.startswith("round-")]
    if again:
        log.info("set_aside_taken_back", jobs=len(again))
        ledger.forget_set_aside(again)


def _check_policies(reader: LedgerReader, run: RunDirectory, store: AdapterStore) -> None:
    for policy in reader.policies():
        if policy.adapter_sha256 and not is_intact(store, policy.adapter_sha256):
            store.remove(policy.adapter_sha256)
            restore_policy_adapter(policy.version, policy.adapter_sha256, run, store)
            log.warning("policy_adapter_restored", policy_version=policy.version)


def _forget_lost_adapters(ledger: Ledger, reader: LedgerReader, store: AdapterStore) -> None:
    """Let adapters that still wait for their grade, but are gone or damaged, be trained again.

    Those that more than their own grade needs are `lost_adapters`' business.
    """
    settled = {job_id.rpartition("/")[0] for job_id in reader.job_ids("evaluate")}
    settled |= {row.job_id.rpartition("/")[0] for row in reader.set_aside()}
    lost = []
    for job_id in reader.job_ids("adapt"):
        is_shared = job_id.startswith((CPT_PREFIX, CONTINUAL_PREFIX))
        row = None if is_shared or job_id.rpartition("/")[0] in settled else reader.result(job_id)
        if row is not None and isinstance(row.result, AdaptResult) and not is_intact(store, row.result.adapter.sha256):
            store.remove(row.result.adapter.sha256)
            lost.append(job_id)
    if lost:
        log.warning("adapters_lost", jobs=len(lost), reason="missing or damaged after a crash; they are trained again")
        ledger.forget_results(lost)


def is_intact(store: AdapterStore, sha256: str) -> bool:
    """Say whether an adapter lies in the store with the bytes that its name says."""
    try:
        return adapter_sha256(store.path(sha256)) == sha256
    except StoreError:
        return False
