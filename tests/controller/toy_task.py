"""A toy task, and agents' work as pure functions: every result is a function of its job."""

import hashlib
import re
from collections.abc import Sequence

from protocol.jobs import (
    AdapterRef,
    AdaptJob,
    AdaptResult,
    CreditJob,
    EvaluateJob,
    EvaluateResult,
    GeneratedEdit,
    GradedAnswer,
    Job,
    JobResult,
    ProposeJob,
    ProposeResult,
    Question,
    Receipt,
    TrainingSequence,
)
from seal_runtime.algorithms.rest_em import RestEM
from seal_runtime.config.topology import Topology
from seal_runtime.errors import EditParseError
from seal_runtime.tasks.base import InnerLoop, Instance, Split, Untrained


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class ToyTask:
    """`sizes` instances a split with three questions each; an edit with `bad` in it cannot be parsed."""

    def __init__(self, reward: int = 6, validation: int = 3, test: int = 4, scripted: bool = True, retention: int = 5) -> None:
        self.sizes: dict[Split, int] = {"reward": reward, "validation": validation, "test": test}
        self.num_retention = retention
        if scripted:
            self.scripted_edit = lambda instance: f"scripted {instance.title}"

    def instances(self, split: Split) -> Sequence[Instance]:
        return [
            Instance(
                instance_id=f"{split}-{index}",
                title=f"title {split} {index}",
                context=f"context {split} {index}",
                prompt=f"propose {split} {index}",
                questions=tuple(
                    Question(question_id=f"{split}-{index}.{q}", prompt=f"{split} {index} {q}?", answers=("yes",)) for q in range(3)
                ),
            )
            for index in range(self.sizes[split])
        ]

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        if "bad" in edit:
            raise EditParseError("expected a good edit")
        lines = [line for line in edit.split("\n") if line]
        return tuple(TrainingSequence(prompt="", completion=text, weight=1.0) for text in (*lines, instance.context))

    def grade(self, question: Question, answer: str) -> float:
        return float(answer in question.answers)

    def retention_questions(self) -> tuple[Question, ...]:
        return tuple(Question(question_id=f"known-{q}", prompt=f"known {q}?", answers=("yes",)) for q in range(self.num_retention))


class ChoosyToyTask(ToyTask):
    """A task with every optional method: of the edits half cannot be parsed, a third of the others train nothing, and the rest choose."""

    def inner_loop(self, instance: Instance, edit: str, seed: int) -> InnerLoop | Untrained:
        number = sum(int(digits) for digits in re.findall(r"\d+", edit.partition("\n")[0]))
        if number % 2 or "bad" in edit:
            raise EditParseError("expected an even number")
        if number % 3 == 0:
            return Untrained(reason="a third trains nothing")
        sequences = (TrainingSequence(prompt=f"drawn from {seed}", completion=edit, weight=1.0, loss_on_prompt=True),) * 3
        return InnerLoop(sequences=sequences, learning_rate=0.001 * (1 + number % 5), epochs=1.5)

    def score(self, questions: Sequence[Question], answers: Sequence[str]) -> float:
        return min(self.grade(question, answer) for question, answer in zip(questions, answers, strict=True))

    def answer_stop(self) -> str:
        return "#"


def do_job(job: Job, topology: Topology) -> JobResult:
    """Do a job as an agent with perfect engines would: the result is a function of the job alone."""
    match job:
        case ProposeJob():
            edits = []
            for seed in job.seeds:
                number = int(digest(job.policy, job.prompt, seed)[:6], 16)
                text = "bad" if number % 11 == 0 else "\n".join(f"fact {number} {line}" for line in range(number % 3 + 1))
                edits.append(GeneratedEdit(text=text, token_ids=(1, 2), logprobs=(-0.5, -0.25), finish_reason="stop"))
            return ProposeResult(edits=tuple(edits), prompt_tokens=3, prompt_truncated=0)
        case AdaptJob():
            sha256 = digest(job.policy, job.sequences, job.lora, job.optim, job.seed)
            num_steps = job.optim.num_steps or len(job.sequences) * job.optim.epochs
            adapter = AdapterRef(sha256=sha256, rank=job.lora.rank, num_bytes=100)
            return AdaptResult(adapter=adapter, num_steps=num_steps, num_tokens=10, num_truncated=0, first_loss=2.0, final_loss=1.0)
        case EvaluateJob():
            sha256 = job.adapter.sha256 if job.adapter else ""
            scores = [float(int(digest(job.policy, sha256, q.prompt)[:4], 16) % 2) for q in job.questions]
            answers = tuple(
                GradedAnswer(question_id=q.question_id, text="yes", score=score) for q, score in zip(job.questions, scores, strict=True)
            )
            delta = 0.5 if job.adapter else 0.0
            receipt = Receipt(
                adapter_sha256=sha256, policy_version=job.policy.version, policy_sha256s=job.policy.sha256s, probe_delta=delta
            )
            score = min(scores) if job.scoring == "task" else sum(scores) / len(scores)
            return EvaluateResult(answers=answers, score=score, receipt=receipt)
        case CreditJob():
            return RestEM(topology.algorithm).credit(job)


def toy_topology(**sections: dict[str, object]) -> Topology:
    """Return a small run: two rounds, four contexts, two edits; sections override."""
    base: dict[str, dict[str, object]] = {
        "run": {"name": "toy", "rounds": 2, "seed": 7},
        "algorithm": {"contexts_per_round": 4, "edits_per_context": 2},
        "evaluation": {"num_contexts": 3, "edits_per_context": 2},
    }
    for name, values in sections.items():
        base[name] = {**base.get(name, {}), **values}
    return Topology.model_validate(base)
