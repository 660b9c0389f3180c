"""The studies of continued pretraining and of continual self-edits: the untrained policy and the last one, on held-out contexts."""

from collections.abc import Sequence

from seal_runtime.config.topology import Topology
from seal_runtime.controller.study import EditSource, Study
from seal_runtime.errors import ConfigError
from seal_runtime.ledger.study_names import CONTINUAL_PREFIX, CPT_PREFIX
from seal_runtime.tasks.base import Instance, Task
from seal_runtime.tasks.sequences import continual_sequences


def cpt_studies(topology: Topology, task: Task, available: Sequence[Instance], notes: list[str]) -> list[Study]:
    """Return the studies of continued pretraining, the baselines last; adds to the notes when there are fewer contexts than asked for."""
    config = topology.evaluation.cpt
    contexts = tuple(available[: config.num_contexts])
    if not contexts:
        return []
    if len(contexts) < config.num_contexts:
        notes.append(f"{config.num_contexts} contexts for continued pretraining were asked for, the task has {len(contexts)}: using them")

    def study(name: str, source: EditSource, version: int, num_proposals: int, replicates: int) -> Study:
        return Study(
            name=f"{CPT_PREFIX}{name}",
            purpose="cpt",
            source=source,
            policy_version=version,
            round=0,
            instances=contexts,
            edits_per_context=1,
            replicates=replicates,
            steps_of="",
            num_proposals=num_proposals,
            sequence_length=0,
        )

    edits, replicates = config.edits_per_context, config.replicates
    studies = [study(f"v{version}", "policy", version, edits, replicates) for version in _versions(topology)]
    if config.baselines:
        studies += [study("no-update", "none", 0, 0, 1), study("passage-only", "empty", 0, 1, replicates)]
        if any(callable(getattr(task, method, None)) for method in ("scripted_edits", "scripted_edit")):
            studies.append(study("scripted", "scripted", 0, edits, replicates))
    return studies


def continual_studies(topology: Topology, available: Sequence[Instance], notes: list[str]) -> list[Study]:
    """Return the studies of continual self-edits. All policies learn the same sequences, of which no two share a context.

    Raises ConfigError when not one sequence can be made; adds to the notes when there are fewer than asked for.
    """
    config = topology.evaluation.continual
    if not config.num_sequences:
        return []
    sequences = continual_sequences(topology, available)
    if not sequences:
        raise ConfigError(
            f"evaluation.continual.sequence_length: expected at most the {len(available)} contexts of split "
            f"{topology.evaluation.split!r}, got {config.sequence_length}; lower it or add data"
        )
    if len(sequences) < config.num_sequences:
        notes.append(
            f"{config.num_sequences} continual sequences of {config.sequence_length} contexts were asked for, "
            f"the task has {len(available)} contexts: using {len(sequences)}"
        )
    return [
        Study(
            name=f"{CONTINUAL_PREFIX}{version}",
            purpose="continual",
            source="policy",
            policy_version=version,
            round=0,
            instances=tuple(instance for sequence in sequences for instance in sequence),
            edits_per_context=1,
            replicates=config.sequence_length + 1,
            steps_of="",
            num_proposals=1,
            sequence_length=config.sequence_length,
        )
        for version in _versions(topology)
    ]


def _versions(topology: Topology) -> list[int]:
    return list(dict.fromkeys((0, topology.run.rounds)))
