"""Open a run and read it: rewards, edits, answers, policies, studies, metrics, attempts, stories.

    from seal_runtime import Run
    run = Run.open("runs/quickstart")
    pandas.DataFrame(run.rewards()).groupby("round").reward.mean()

Every call reads the ledger anew and only reads, so that a run may go on meanwhile: the next call sees what was committed since.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from seal_runtime.algorithms.statistics import mean, standard_error
from seal_runtime.config.loading import load_resolved
from seal_runtime.config.topology import Topology
from seal_runtime.errors import LedgerError
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.study_names import CONTINUAL_PREFIX
from seal_runtime.report.continual import planned_sequences
from seal_runtime.report.gather import StudyRecord
from seal_runtime.report.measures import context_means
from seal_runtime.report.model import RunSummary
from seal_runtime.report.rounds import per_hour, policy_steps
from seal_runtime.report.summary import edit_parser, summarise_run
from seal_runtime.run.answers import answer_rows
from seal_runtime.run.attempts import attempt_rows
from seal_runtime.run.continual import continual_cells
from seal_runtime.run.fold import Folded, edit_row, fold, round_of
from seal_runtime.run.rows import AnswerRow, AttemptRow, ContinualRow, EditRow, PolicyVersionRow, RewardRow, RunFacts, StudyRow
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.story.model import Story
from seal_runtime.story.tell import tell_story
from seal_runtime.tasks.base import Instance, Split, Task
from seal_runtime.tasks.registry import make_task


class Run:
    """One run, live or over. Methods that read raise LedgerError, ConfigError or DataError when the run cannot be read."""

    def __init__(self, paths: RunDirectory) -> None:
        self.paths = paths

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the run in a run directory. Raises LedgerError when there is no run, or one that this release cannot read."""
        paths = RunDirectory(Path(path))
        if not paths.root.is_dir():
            raise LedgerError(f"expected a run directory, got {str(path)!r}, which is no folder; runs are made by `seal-runtime launch`")
        if not paths.topology.is_file() or not paths.ledger.is_file():
            missing = paths.ledger.name if paths.topology.is_file() else paths.topology.name
            raise LedgerError(f"expected a run directory, got {str(path)!r} without {missing}; name the folder of one run, runs/<name>")
        run = cls(paths)
        run._ledger().close()
        return run

    def __repr__(self) -> str:
        return f"Run.open({str(self.paths.root)!r})"

    @property
    def path(self) -> Path:
        """Return the run directory."""
        return self.paths.root

    @cached_property
    def topology(self) -> Topology:
        """Return the resolved topology. Raises ConfigError."""
        return load_resolved(self.paths.topology)

    @cached_property
    def task(self) -> Task:
        """Return the run's task. Raises ConfigError or DataError when its module or data is not here."""
        return make_task(self.topology.task)

    @property
    def status(self) -> RunFacts:
        """Return where the run stands by its ledger."""
        with self._ledger() as ledger:
            meta, policies = ledger.meta(), ledger.policies()
            num_results, num_set_aside = sum(ledger.counts().values()), len(ledger.set_aside())
        phase = meta.get("phase", "unknown")
        return RunFacts(
            run=self.topology.run.name,
            run_id=meta.get("run_id", ""),
            phase=phase,
            reason=meta.get("reason", ""),
            finished=phase in ("done", "failed", "stopped"),
            started_at=_time(meta.get("started_at")),
            finished_at=_time(meta.get("finished_at")),
            num_results=num_results,
            num_set_aside=num_set_aside,
            policy_version=max((policy.version for policy in policies), default=0),
        )

    def rewards(self, study: str | None = None) -> list[RewardRow]:
        """Return the rewards of the rounds' self-edits by round, context and index, or the scores of one study's edits."""
        folded = self._fold(study)
        return [
            _reward_row(name, record, key)
            for name, record in _ordered(folded)
            if study is not None or round_of(name) is not None
            for key in sorted(record.edits)
            if record.edits[key].score is not None
        ]

    def edits(self, study: str | None = None) -> list[EditRow]:
        """Return every self-edit that was written, of all studies or of one, also those that are not measured."""
        folded = self._fold(study)
        names = [name for name, _ in _ordered(folded)]
        return [edit_row(folded, place) for place in sorted(folded.written, key=lambda place: (names.index(place[0]), *place[1:]))]

    def answers(self, study: str | None = None) -> list[AnswerRow]:
        """Return every graded answer, of all studies or of one, in the order of the commits."""
        with self._ledger() as ledger:
            return answer_rows(ledger, study)

    def policies(self) -> list[PolicyVersionRow]:
        """Return the policy versions, oldest first."""
        with self._ledger() as ledger:
            policies, folded = ledger.policies(), fold(ledger, self._parser())
        steps = {step.version: step for step in policy_steps(folded.gathered, policies)}
        return [
            PolicyVersionRow(
                version=policy.version,
                parent=steps[policy.version].parent,
                round=policy.round,
                adapter_sha256=policy.adapter_sha256,
                rank=policy.rank,
                num_bytes=policy.num_bytes,
                created_at=policy.created_at,
                num_chosen=steps[policy.version].num_chosen,
                heldout_score=None if (percent := steps[policy.version].heldout_percent) is None else percent / 100,
            )
            for policy in policies
        ]

    def studies(self) -> list[StudyRow]:
        """Return a row for each study that has begun, the rounds first."""
        return [_study_row(name, record) for name, record in _ordered(self._fold(None))]

    def continual(self) -> list[ContinualRow]:
        """Return the cells of the continual matrices, sequence by sequence and row by row; none for a run without such studies.

        `pandas.DataFrame(rows).pivot_table("score", "num_edits", "passage")` is the mean matrix.
        """
        folded = self._fold(None)
        planned = planned_sequences(self.topology, self.task.instances(self.topology.evaluation.split))
        return continual_cells(folded.gathered, planned)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl as they are; a line that is being written is left out."""
        try:
            text = self.paths.metrics.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]
        return [json.loads(line) for line in whole.splitlines() if line.strip()]

    def attempts(self) -> list[AttemptRow]:
        """Return every attempt at every job, those that failed too, and the jobs that were given up, in the order of their ends."""
        with self._ledger() as ledger:
            return attempt_rows(ledger)

    def story(self, edit: str) -> Story:
        """Return the whole life of one self-edit, named by its `edit_id` or a part of it. Raises ConfigError if that names no one edit."""
        return tell_story(self.paths, edit)

    def summary(self) -> RunSummary:
        """Return all figures of `seal-runtime report`."""
        return summarise_run(self.path)

    def _ledger(self) -> LedgerReader:
        return LedgerReader(self.paths.ledger)

    def _fold(self, study: str | None) -> Folded:
        with self._ledger() as ledger:
            return fold(ledger, self._parser(), study)

    def _parser(self) -> "_LateParser":
        return _LateParser(self)


class _LateParser:
    """Ask the task whether an edit parses, and load the task only when the ledger alone does not tell."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @cached_property
    def _instances(self) -> dict[str, Instance]:
        splits: tuple[Split, ...] = ("reward", self._run.topology.evaluation.split)
        return {instance.instance_id: instance for split in splits for instance in self._run.task.instances(split)}

    def __call__(self, context_id: str, text: str, num_resamples: int) -> bool:
        max_resamples = self._run.topology.proposer.max_resamples
        return edit_parser(self._run.task, self._instances, max_resamples)(context_id, text, num_resamples)


def _ordered(folded: Folded) -> Sequence[tuple[str, StudyRecord]]:
    """Return the studies, rounds first in their order, then the others by name, `heldout-v10` after `heldout-v9`."""

    def place(item: tuple[str, StudyRecord]) -> tuple[bool, str, int]:
        stem, _, digits = item[0].rpartition("-v") if round_of(item[0]) is None else ("", "", str(round_of(item[0])))
        return (round_of(item[0]) is None, stem if digits.isdigit() else item[0], int(digits) if digits.isdigit() else -1)

    return sorted(folded.gathered.studies.items(), key=place)


def _reward_row(study: str, record: StudyRecord, key: tuple[str, int]) -> RewardRow:
    edit = record.edits[key]
    assert edit.score is not None
    return RewardRow(
        study=study,
        round=round_of(study),
        policy_version=record.policy_version,
        context_id=edit.context_id,
        edit_index=edit.edit_index,
        edit_id=f"{study}/{edit.context_id}/e{edit.edit_index}",
        reward=edit.score,
        num_replicates=len(edit.scores),
        unparsed=edit.state == "unparsed",
        chosen=edit.chosen,
    )


def _study_row(study: str, record: StudyRecord) -> StudyRow:
    means = list(context_means(record).values())
    seconds = record.ended_at - record.started_at if record.started_at is not None and record.ended_at is not None else 0.0
    return StudyRow(
        study=study,
        round=round_of(study),
        policy_version=record.policy_version,
        num_contexts=len(means),
        num_scored=record.num_scored,
        num_unparsed=record.count("unparsed"),
        num_invalid=record.count("invalid"),
        mean_score=mean(means) if means else None,
        stderr_score=None if study.startswith(CONTINUAL_PREFIX) else standard_error(means),
        started_at=record.started_at,
        ended_at=record.ended_at,
        edits_per_hour=per_hour(record.num_scored, seconds),
    )


def _time(value: str | None) -> float | None:
    """Return a time of the ledger's meta table; an empty or foreign value is no time."""
    try:
        return float(value) if value else None
    except ValueError:
        return None
