"""What the controller's benchmark asks of it: a run of a task without content, and answers that cost an agent next to nothing.

Contexts, edits and questions have the sizes of a SQuAD run in the paper's form (a passage, five edits of about 80 tokens, four questions),
so that frames, ledger rows and checks are those of real runs. Every answer is a function of its job, every adapter a real folder in the
store.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from protocol.jobs import (
    ROLES,
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
    Role,
    TrainingSequence,
)
from seal_runtime.algorithms.rest_em import RestEM
from seal_runtime.config.topology import Topology
from seal_runtime.store.adapters import CONFIG_FILE, TENSOR_FILE, AdapterStore
from seal_runtime.tasks.base import Instance, Split

EDITS_PER_CONTEXT = 5
ROUNDS = 4
JOBS_PER_CONTEXT = 1 + 2 * EDITS_PER_CONTEXT
_QUESTIONS = 4
_WORDS = "the river valley was settled by families who kept bees and traded wax for salt along the old northern road"
_SHARES: dict[Role, float] = {"proposer": 0.1, "trainer": 0.45, "evaluator": 0.45, "critic": 0.0}


class EmptyTask:
    """`contexts` passages about nothing; every edit parses, each of its lines is a training sequence."""

    def __init__(self, contexts: int) -> None:
        self._contexts = contexts

    def instances(self, split: Split) -> Sequence[Instance]:
        """Return the passages; only the reward split has any."""
        return [_instance(index) for index in range(self._contexts)] if split == "reward" else []

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Return the edit's lines and the passage."""
        texts = [*edit.split("\n"), instance.context]
        return tuple(TrainingSequence(prompt="", completion=text, weight=1.0) for text in texts if text)

    def grade(self, question: Question, answer: str) -> float:
        """Compare the texts."""
        return float(answer in question.answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerLoad:
    """A run of about `num_jobs` jobs for `num_agents` agents, each with `capacity` jobs at a time that take it `job_seconds`."""

    num_agents: int
    num_jobs: int
    capacity: int
    job_seconds: float
    curve: bool

    @property
    def contexts_per_round(self) -> int:
        """Return how many contexts make about the number of jobs asked for."""
        return max(1, round(self.num_jobs / (ROUNDS * JOBS_PER_CONTEXT)))

    @property
    def total_jobs(self) -> int:
        """Return the exact number of jobs: those of the contexts, and a credit and an update for each round."""
        return ROUNDS * (self.contexts_per_round * JOBS_PER_CONTEXT + 2)

    def topology(self) -> Topology:
        """Return the run's topology. No agents are started by it: the benchmark brings its own."""
        contexts = self.contexts_per_round
        no_agents = {"count": 0}
        return Topology.model_validate(
            {
                "run": {"name": "bench-controller", "rounds": ROUNDS},
                "task": {"name": f"{__name__}:{EmptyTask.__name__}", "options": {"contexts": contexts}},
                "algorithm": {"contexts_per_round": contexts, "edits_per_context": EDITS_PER_CONTEXT},
                "evaluation": {"num_contexts": 0, "retention": False},
                "bus": {"curve": self.curve, "agent_timeout_seconds": 60.0},
                **dict.fromkeys(ROLES, no_agents),
            }
        )

    def agents(self) -> list[tuple[Role, str]]:
        """Return role and name of each agent: one critic, of the others the shares in which real runs have work for them, one at least."""
        counts = {role: max(1, int(share * (self.num_agents - 1))) for role, share in _SHARES.items()}
        counts["trainer"] += max(0, self.num_agents - sum(counts.values()))
        return [(role, f"{role}-{index}") for role in ROLES for index in range(counts[role])]


def answer(job: Job, topology: Topology, store: AdapterStore) -> JobResult:
    """Do a job as fast as one can."""
    match job:
        case ProposeJob():
            edits = tuple(_edit(seed) for seed in job.seeds)
            return ProposeResult(edits=edits, prompt_tokens=200, prompt_truncated=0)
        case AdaptJob():
            staging = store.staging_dir()
            _write_adapter(staging, job)
            adapter = store.publish(staging)
            return AdaptResult(adapter=adapter, num_steps=10, num_tokens=500, num_truncated=0, first_loss=3.0, final_loss=1.0)
        case EvaluateJob():
            return _graded(job)
        case CreditJob():
            return RestEM(topology.algorithm).credit(job)


def _instance(index: int) -> Instance:
    questions = tuple(
        Question(question_id=f"c{index}.q{number}", prompt=f"Who kept the bees of valley {index}, by account {number}?\n", answers=("yes",))
        for number in range(_QUESTIONS)
    )
    text = f"Passage {index}. " + " ".join([_WORDS] * 6)
    return Instance(
        instance_id=f"c{index}", title=f"valley {index}", context=text, prompt=f"{text}\nList implications.\n", questions=questions
    )


def _edit(seed: int) -> GeneratedEdit:
    text = "\n".join(f"{number}. {_WORDS} ({seed % 100_000 + number})" for number in range(3))
    numbers = range(80)
    return GeneratedEdit(
        text=text, token_ids=tuple(numbers), logprobs=tuple(-0.01 * number - 0.003 for number in numbers), finish_reason="stop"
    )


def _write_adapter(folder: Path, job: AdaptJob) -> None:
    digest = hashlib.sha256(f"{job.job_id}/{job.seed}/{job.policy.version}".encode()).digest()
    folder.mkdir()
    (folder / CONFIG_FILE).write_text(json.dumps({"r": job.lora.rank}))
    (folder / TENSOR_FILE).write_bytes(digest * 64)


def _graded(job: EvaluateJob) -> EvaluateResult:
    sha256 = job.adapter.sha256 if job.adapter is not None else ""
    receipt = Receipt(
        adapter_sha256=sha256,
        policy_version=job.policy.version,
        policy_sha256s=job.policy.sha256s,
        probe_delta=0.5 if sha256 else 0.0,
    )
    first = GradedAnswer(question_id="", text="the families of the valley", score=float(sha256 < "8"))
    answers = tuple(replace(first, question_id=question.question_id) for question in job.questions)
    return EvaluateResult(answers=answers, score=first.score, receipt=receipt)
