"""A run made by hand: a tiny task and a builder that writes its rows through the real ledger."""

from collections.abc import Sequence
from pathlib import Path

from protocol.jobs import (
    AdapterRef,
    AdaptJob,
    AdaptResult,
    CreditJob,
    CreditResult,
    EditCredit,
    EvaluateJob,
    EvaluateResult,
    GeneratedEdit,
    GradedAnswer,
    LoraSpec,
    OptimSpec,
    PolicyRef,
    ProposeJob,
    ProposeResult,
    Question,
    Receipt,
    SamplingSpec,
    TrainingSequence,
)
from seal_runtime.config.topology import Topology
from seal_runtime.errors import EditParseError
from seal_runtime.ledger import Ledger, LedgerReader
from seal_runtime.ledger.records import AgentGone, AgentJoined, JobKey, PolicyRecord, Record, ResultRecord, SetAsideRecord
from seal_runtime.report.summary import RunRecords, fold_records
from seal_runtime.tasks.base import Instance, Split

SHA = "a" * 64
AGENT_OF_STAGE = {"propose": "proposer-0", "adapt": "trainer-0", "evaluate": "evaluator-0", "credit": "critic-0", "policy": "trainer-0"}


def _question(context_id: str, number: int) -> Question:
    return Question(question_id=f"{context_id}.q{number}", prompt=f"Let's answer.\nQuestion: what is {number}?\nAnswer:", answers=("gold",))


class TinyTask:
    """Two reward contexts, three test contexts, four questions each; an edit that says BROKEN cannot be parsed."""

    def instances(self, split: Split) -> Sequence[Instance]:
        """Return the instances of a split."""
        names = {"reward": ("c0", "c1"), "validation": ("v0",), "test": ("h0", "h1", "h2")}[split]
        return [
            Instance(
                instance_id=name,
                title=f"Title {name}",
                context=f"Passage of {name}.",
                prompt="",
                questions=tuple(_question(name, i) for i in range(4)),
            )
            for name in names
        ]

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Return the edit as one sequence."""
        if "BROKEN" in edit:
            raise EditParseError("expected an edit, got BROKEN")
        return (TrainingSequence(prompt="", completion=edit, weight=1.0),)

    def grade(self, question: Question, answer: str) -> float:
        """Grade by equality."""
        return float(answer in question.answers)

    def scripted_edit(self, instance: Instance) -> str:
        """Return the ceiling."""
        return "gold"

    def retention_questions(self) -> tuple[Question, ...]:
        """Return four known facts."""
        return tuple(_question("known", i) for i in range(4))


class RunBuilder:
    """Collects records; every job takes `seconds` and jobs follow one another unless `at` says when one starts."""

    def __init__(self) -> None:
        self.records: list[Record] = [PolicyRecord(version=0, parent=-1, round=0, adapter_sha256="", rank=0, num_bytes=0)]
        self.meta = {"run_id": "tiny-1", "phase": "done", "started_at": "1000.0", "finished_at": "2000.0"}
        self.clock = 1000.0
        self.task = TinyTask()

    def topology(self, **sections: dict[str, object]) -> Topology:
        """Return a topology of two rounds with two edits a context; `sections` override fields of sections."""
        data: dict[str, dict[str, object]] = {
            "run": {"name": "tiny", "rounds": 2, "seed": 7},
            "algorithm": {"contexts_per_round": 2, "edits_per_context": 2},
            "evaluation": {"num_contexts": 3, "edits_per_context": 2},
        }
        for name, fields in sections.items():
            data[name] = {**data.get(name, {}), **fields}
        return Topology.model_validate(data)

    def propose(self, study: str, context_id: str, texts: Sequence[str], *, version: int = 0, seconds: float = 1.0) -> None:
        """Add the proposals of one context."""
        sampling = SamplingSpec(temperature=1.0, top_p=1.0, max_new_tokens=8)
        edits = tuple(GeneratedEdit(text=text, token_ids=(1,), logprobs=(-1.0,), finish_reason="stop") for text in texts)
        key = JobKey(stage="propose", study=study, context_id=context_id, edit_index=-1, replicate=-1)
        job = ProposeJob(job_id=key.job_id, policy=self._policy(version), prompt="p", sampling=sampling, seeds=tuple(range(len(texts))))
        self._add(key, version, job, ProposeResult(edits=edits, prompt_tokens=3, prompt_truncated=0), None, seconds)

    def propose_again(self, study: str, context_id: str, edit: int, number: int, text: str) -> None:
        """Add another draw of one edit."""
        sampling = SamplingSpec(temperature=1.0, top_p=1.0, max_new_tokens=8)
        drawn = GeneratedEdit(text=text, token_ids=(1,), logprobs=(-1.0,), finish_reason="stop")
        key = JobKey(stage="propose", study=study, context_id=context_id, edit_index=edit, replicate=number)
        job = ProposeJob(job_id=key.job_id, policy=self._policy(0), prompt="p", sampling=sampling, seeds=(number,))
        self._add(key, 0, job, ProposeResult(edits=(drawn,), prompt_tokens=3, prompt_truncated=0), None, 1.0)

    def grade(
        self, study: str, context_id: str, edit: int, right: int, *, version: int = 0, replicate: int = 0, adapt: bool = True
    ) -> None:
        """Add the adaptation (unless `adapt` is False) and the evaluation with `right` of four answers right."""
        policy = self._policy(version)
        if adapt:
            key = JobKey(stage="adapt", study=study, context_id=context_id, edit_index=edit, replicate=replicate)
            sequences = (TrainingSequence(prompt="", completion="x", weight=1.0),)
            adapt_job = AdaptJob(
                job_id=key.job_id, purpose="inner", policy=policy, sequences=sequences, lora=_lora(), optim=_optim(), seed=0
            )
            self._add(key, version, adapt_job, _adapted(), None, 2.0)
        key = JobKey(stage="evaluate", study=study, context_id=context_id, edit_index=edit, replicate=replicate)
        questions = tuple(_question("known" if study.startswith("retention") else context_id, i) for i in range(4))
        answers = tuple(
            GradedAnswer(question_id=q.question_id, text="gold" if i < right else "dross", score=float(i < right))
            for i, q in enumerate(questions)
        )
        adapter = _adapter() if adapt else None
        job = EvaluateJob(
            job_id=key.job_id, policy=policy, adapter=adapter, questions=questions, max_new_tokens=8, stop="\n", scoring="mean"
        )
        receipt = Receipt(
            adapter_sha256=SHA if adapt else "", policy_version=version, policy_sha256s=policy.sha256s, probe_delta=0.5 if adapt else 0.0
        )
        self._add(key, version, job, EvaluateResult(answers=answers, score=right / 4, receipt=receipt), right / 4, 1.0)

    def credit(self, number: int, chosen: Sequence[tuple[str, int]]) -> None:
        """Add the credit of a round and the policy version that follows."""
        key = JobKey(stage="credit", study=f"round-{number}", context_id="", edit_index=-1, replicate=-1)
        credits = tuple(EditCredit(context_id=context_id, edit_index=edit, reward=1.0, weight=1.0) for context_id, edit in chosen)
        job = CreditJob(job_id=key.job_id, round=number, seed=0, groups=())
        self._add(key, number - 1, job, CreditResult(credits=credits, update=None), None, 0.5)
        self.records.append(PolicyRecord(version=number, parent=number - 1, round=number, adapter_sha256=SHA, rank=4, num_bytes=1024))

    def set_aside(self, job_id: str) -> None:
        """Give a job up."""
        self.records.append(SetAsideRecord(job_id=job_id, reason="three agents died"))

    def joined(self, agent: str, role: str) -> None:
        """Let an agent arrive."""
        joined = AgentJoined(agent=agent, incarnation="i", role=role, hostname="host", pid=1, gpus=())  # type: ignore[arg-type]
        self.records.append(joined)

    def left(self, agent: str) -> None:
        """Let an agent go."""
        self.records.append(AgentGone(agent=agent, incarnation="i", reason="drained"))

    def write(self, path: Path) -> None:
        """Write everything through the real ledger."""
        ledger = Ledger(path)
        ledger.commit(self.records, now=2000.0, meta=self.meta)
        ledger.close()

    def load(self, path: Path, topology: Topology | None = None) -> RunRecords:
        """Write, read and fold."""
        self.write(path)
        with LedgerReader(path) as reader:
            return fold_records(
                topology or self.topology(),
                self.task,
                rows=reader.results(),
                set_aside=reader.set_aside(),
                policies=reader.policies(),
                agents=reader.agents(),
                meta=reader.meta(),
            )

    def _policy(self, version: int) -> PolicyRef:
        return PolicyRef(version=version, chain=())

    def _add(self, key: JobKey, version: int, job: object, result: object, score: float | None, seconds: float) -> None:
        self.records.append(
            ResultRecord(
                key=key,
                policy_version=version,
                attempt=1,
                agent=AGENT_OF_STAGE[key.stage],
                started_at=self.clock,
                duration_seconds=seconds,
                score=score,
                job=job,  # type: ignore[arg-type]
                result=result,  # type: ignore[arg-type]
            )
        )
        self.clock += seconds


def _adapter() -> AdapterRef:
    return AdapterRef(sha256=SHA, rank=4, num_bytes=1024)


def _adapted() -> AdaptResult:
    return AdaptResult(adapter=_adapter(), num_steps=3, num_tokens=9, num_truncated=0, first_loss=2.0, final_loss=1.0)


def _lora() -> LoraSpec:
    return LoraSpec(rank=4, alpha=8.0, targets=())


def _optim() -> OptimSpec:
    return OptimSpec(
        learning_rate=1e-3,
        epochs=1,
        batch_size=1,
        schedule="linear",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        max_length=64,
        num_steps=0,
        pad_loss="none",
    )


def make_complete(builder: RunBuilder) -> None:
    """Write a complete two-round run; right answers of four are chosen so that every mean is a round number."""
    for number, rights in ((1, {"c0": (1, 2), "c1": (0, 3)}), (2, {"c0": (3, 4), "c1": (2, 4)})):
        for context_id, scores in rights.items():
            builder.propose(f"round-{number}", context_id, [f"edit {number} {context_id} {i}" for i in range(2)], version=number - 1)
            for edit, right in enumerate(scores):
                builder.grade(f"round-{number}", context_id, edit, right, version=number - 1)
        builder.credit(number, [("c0", 1), ("c1", 1)])
    heldout = {0: {"h0": (0, 1), "h1": (1, 1), "h2": (1, 2)}, 1: {"h0": (1, 2), "h1": (2, 2), "h2": (2, 3)}}
    heldout[2] = {"h0": (2, 3), "h1": (3, 3), "h2": (4, 4)}
    for version, contexts in heldout.items():
        for context_id, scores in contexts.items():
            builder.propose(f"heldout-v{version}", context_id, ["a", "b"], version=version)
            for edit, right in enumerate(scores):
                builder.grade(f"heldout-v{version}", context_id, edit, right, version=version)
    for context_id, base, passage, equal in (("h0", 0, 0, 1), ("h1", 0, 1, 1), ("h2", 0, 0, 1)):
        builder.grade("no-update", context_id, 0, base, adapt=False)
        builder.grade("passage-only", context_id, 0, passage)
        builder.grade("passage-only-equal-steps", context_id, 0, equal)
        builder.grade("scripted", context_id, 0, 4)
    builder.grade("retention-v0", "chunk-0", 0, 4, adapt=False)
    builder.grade("retention-v2", "chunk-0", 0, 3, version=2, adapt=False)
