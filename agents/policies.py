"""From the policy of a job to the local directories that an engine folds into the base weights.

Invariant: a directory is used only after its bytes were hashed once in this process and are those that the job names.
"""

from pathlib import Path

from protocol.jobs import AdapterRef, AdaptJob, EvaluateJob, Job, PolicyRef, ProposeJob
from seal_runtime.engines.base import Policy
from seal_runtime.errors import StoreError
from seal_runtime.store.adapters import AdapterStore, adapter_sha256


class PolicyResolver:
    """Finds and checks the lineage of policies in one store."""

    def __init__(self, store: AdapterStore) -> None:
        self._store = store
        self._checked: set[str] = set()

    def policy(self, reference: PolicyRef) -> Policy:
        """Return the engine's form of a policy. Raises StoreError when an adapter is missing or its bytes are not those named."""
        return Policy(version=reference.version, adapters=tuple(self._path(adapter.sha256) for adapter in reference.chain))

    def _path(self, sha256: str) -> Path:
        path = self._store.path(sha256)
        if sha256 not in self._checked:
            found = adapter_sha256(path)
            if found != sha256:
                raise StoreError(f"policy adapter {path} holds other bytes ({found[:12]}...) than its name says; the store is damaged")
            self._checked.add(sha256)
        return path


def adapters_of(job: Job) -> tuple[AdapterRef, ...]:
    """Return every adapter that must be at hand before the job can begin."""
    match job:
        case ProposeJob() | AdaptJob():
            return job.policy.chain
        case EvaluateJob():
            return job.policy.chain if job.adapter is None else (*job.policy.chain, job.adapter)
        case _:
            return ()
