"""A study of one of our runs as a result file of the reference: the edits, their scores and every answer, read from the ledger.

Invariant: nothing is made up. A baseline that the run did not measure with the same policy version is null; an edit that was set aside or
is not done is left out and counted. An edit that could not be parsed has the reward 0 that the run gave it, and no answers.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protocol.jobs import EvaluateJob, EvaluateResult, GradedAnswer, ProposeResult
from seal_runtime.config.topology import Topology
from seal_runtime.errors import ConfigError, EditParseError
from seal_runtime.ledger.proposals import proposed_edits
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.study_names import CONTINUAL_PREFIX, CPT_PREFIX
from seal_runtime.seal.results import AnswerRecord, Article, Completion, CompletionStats, LoraParams, Results
from seal_runtime.seal.statistics import article_stats, completion_stats, overall_stats
from seal_runtime.tasks.base import SPLITS, Instance, ScoringTask, Task
from seal_runtime.tasks.prompts import asked_question

Answers = tuple[GradedAnswer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A result file, and what a reader should know: edits left out, and whether baselines are missing."""

    results: Results
    study: str
    num_left_out: int
    lacks_baseline: bool


@dataclass(slots=True)
class _Study:
    texts: dict[str, dict[int, str]] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)
    answers: dict[tuple[str, int], dict[int, Answers]] = field(default_factory=dict)
    version: int = 0


def studies_with_edits(ledger: LedgerReader) -> list[str]:
    """Return the studies in which the policy wrote self-edits that were scored one by one, in the order of their first commit."""
    names = dict.fromkeys(row.study for row in ledger.results(stage="propose"))
    return [name for name in names if not name.startswith((CPT_PREFIX, CONTINUAL_PREFIX))]


def export_study(ledger: LedgerReader, topology: Topology, task: Task, study: str | None) -> Exported:
    """Return a study as a result file; without a name the newest round. Raises ConfigError, with the studies there are."""
    if isinstance(task, ScoringTask):
        raise ConfigError(
            f"expected a task whose scores are the means of its verdicts, got {topology.task.name}, which scores all answers together: "
            "a result file of the reference cannot say that; use the Run API or the report"
        )
    known = studies_with_edits(ledger)
    name = study or max((name for name in known if name.startswith("round-")), key=_round_number, default="")
    if name not in known:
        raise ConfigError(f"expected a study with self-edits ({', '.join(known) or 'none yet'}), got {study!r}")
    found = _read_study(ledger, name)
    baselines = _baselines(ledger, found.version)
    instances = {instance.instance_id: instance for split in SPLITS for instance in task.instances(split)}
    articles, num_left_out = _articles(found, baselines, instances, task)
    if not articles:
        raise ConfigError(f"expected at least one scored self-edit in {name}, got none yet")
    results = Results(
        overall=overall_stats(articles),
        timestamp=_timestamp(ledger.meta()),
        exp_name=f"{topology.run.name}/{name}",
        dataset=topology.task.data or topology.task.name,
        split_newlines=topology.task.split_newlines,
        n_articles=len(articles),
        k_completions=max(len(article.completions) for article in articles),
        eval_times=max((len(replicates) for replicates in found.answers.values()), default=0),
        lora_params=_lora_params(topology),
        articles=tuple(articles),
    )
    return Exported(results=results, study=name, num_left_out=num_left_out, lacks_baseline=results.overall.baseline_mean_accuracy is None)


def _read_study(ledger: LedgerReader, name: str) -> _Study:
    found = _Study()
    for row in ledger.results(study=name):
        if isinstance(row.result, ProposeResult):
            found.texts.setdefault(row.context_id, {}).update({index: edit.text for index, _, edit in proposed_edits(row)})
            found.version = row.policy_version
        elif isinstance(row.result, EvaluateResult):
            found.answers.setdefault((row.context_id, row.edit_index), {})[row.replicate] = row.result.answers
    return found


def _baselines(ledger: LedgerReader, version: int) -> dict[str, Answers]:
    """Return the answers that the policy version gave without an adapter, by context."""
    return {
        row.context_id: row.result.answers
        for row in ledger.results(stage="evaluate")
        if row.policy_version == version
        and isinstance(row.job, EvaluateJob)
        and row.job.adapter is None
        and isinstance(row.result, EvaluateResult)
    }


def _articles(found: _Study, baselines: Mapping[str, Answers], instances: Mapping[str, Instance], task: Task) -> tuple[list[Article], int]:
    """Return the articles in the task's order, and how many edits had to be left out."""
    articles: list[Article] = []
    num_left_out = 0
    for instance in instances.values():
        texts = found.texts.get(instance.instance_id)
        if texts is None:
            continue
        completions = []
        for index, text in sorted(texts.items()):
            replicates = found.answers.get((instance.instance_id, index), {})
            completion = _completion(instance, text, replicates, baselines.get(instance.instance_id), task)
            completions += [completion] if completion is not None else []
        num_left_out += len(texts) - len(completions)
        if completions:
            articles.append(
                Article(
                    stats=article_stats(completions),
                    title=instance.title,
                    context=instance.context,
                    completions=tuple(completions),
                    prompt=instance.prompt,
                )
            )
    return articles, num_left_out


def _completion(
    instance: Instance, text: str, replicates: Mapping[int, Answers], baseline: Answers | None, task: Task
) -> Completion | None:
    if replicates:
        answers = [record for number in sorted(replicates) for record in _answer_records(instance, number, replicates[number], baseline)]
        return Completion(text=text, stats=completion_stats(answers), questions=tuple(answers))
    try:
        task.training_sequences(instance, text)
    except EditParseError:
        return Completion(text=text, stats=_unparsed(baseline), questions=())
    return None


def _answer_records(instance: Instance, replicate: int, answers: Answers, baseline: Answers | None) -> list[AnswerRecord]:
    before = {answer.question_id: answer for answer in baseline or ()}
    questions = {question.question_id: question for question in instance.questions}
    records = []
    for answer in answers:
        question, base = questions[answer.question_id], before.get(answer.question_id)
        records.append(
            AnswerRecord(
                rep=replicate,
                question=asked_question(question.prompt).removeprefix(f"Topic: {instance.title}\n"),
                answer=question.answers[0],
                baseline_answer=None if base is None else base.text,
                adapter_answer=answer.text,
                baseline_correct=None if base is None else _verdict(base.score),
                adapter_correct=_verdict(answer.score),
            )
        )
    return records


def _verdict(score: float) -> bool | float:
    return bool(score) if score in (0.0, 1.0) else score


def _unparsed(baseline: Answers | None) -> CompletionStats:
    base = sum(answer.score for answer in baseline) / len(baseline) if baseline else None
    gain = None if base is None else -base
    return CompletionStats(
        baseline_mean=base, baseline_std=None if base is None else 0.0, adapter_mean=0.0, adapter_std=0.0, gain_mean=gain
    )


def _lora_params(topology: Topology) -> LoraParams:
    lora, optim = topology.trainer.lora, topology.trainer.optim
    return LoraParams(
        rank=lora.rank,
        alpha=int(lora.alpha) if lora.alpha.is_integer() else lora.alpha,
        dropout=0.0,
        epochs=optim.epochs,
        lr=optim.learning_rate,
        batch_size=optim.batch_size,
        grad_accum_steps=1,
    )


def _timestamp(meta: Mapping[str, str]) -> str:
    started = datetime.datetime.fromtimestamp(float(meta.get("started_at", "0")), tz=datetime.UTC)
    return started.strftime("%m%d_%H%M%S")


def _round_number(name: str) -> int:
    number: Sequence[str] = name.split("-")[1:]
    return int(number[0]) if number and number[0].isdigit() else -1
