"""A task without content for a simulated run: contexts and questions as many as the real one has, each edit the name of a profile."""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.jobs import Question, TrainingSequence
from seal_runtime.config.references import is_data_file
from seal_runtime.config.topology import Topology
from seal_runtime.tasks.base import SPLITS, Instance, Split
from seal_runtime.tasks.registry import make_task

PASSAGE = "passage"
"""The training text of an edit without text: the passage alone."""
_LOCAL_TASKS = ("fictional",)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskShape:
    """How many contexts a split has, whether the task writes scripted edits, and how many known facts it asks."""

    num_contexts: dict[Split, int]
    has_scripted: bool
    num_retention: int


def task_shape(topology: Topology) -> TaskShape:
    """Return the shape of a topology's task; of one whose data is on a hub it is what the run asks for.

    Raises ConfigError or DataError when the task or its file is not as it should be.
    """
    config = topology.task
    if config.name in _LOCAL_TASKS or (config.name == "squad" and config.data is not None and is_data_file(config.data)):
        task = make_task(config)
        retention = getattr(task, "retention_questions", None)
        return TaskShape(
            num_contexts={split: len(task.instances(split)) for split in SPLITS},
            has_scripted=callable(getattr(task, "scripted_edit", None)),
            num_retention=len(retention()) if callable(retention) else 0,
        )
    asked = {"reward": topology.algorithm.contexts_per_round, "validation": 0, "test": 0}
    asked[topology.evaluation.split] = _held_out_contexts(topology)
    if config.name == "squad" and config.limit is not None:
        asked = {"reward": config.limit // 2, "validation": config.limit // 4, "test": config.limit // 4}
    return TaskShape(num_contexts={split: asked[split] for split in SPLITS}, has_scripted=config.edits is not None, num_retention=0)


def _held_out_contexts(topology: Topology) -> int:
    """Return how many held-out contexts a run can use."""
    evaluation = topology.evaluation
    sequences = evaluation.continual.num_sequences * evaluation.continual.sequence_length
    return max(evaluation.num_contexts, evaluation.cpt.num_contexts, sequences)


class MadeUpTask:
    """The task of a simulated run. `question_counts` are dealt out to the contexts in turn."""

    def __init__(self, shape: TaskShape, question_counts: Sequence[int], num_profiles: int) -> None:
        self._shape = shape
        self._question_counts = question_counts
        self._num_profiles = num_profiles
        if shape.has_scripted:
            self.scripted_edit = self._scripted_edit

    def instances(self, split: Split) -> Sequence[Instance]:
        """Return the contexts of a split."""
        return [self._instance(split, index) for index in range(self._shape.num_contexts[split])]

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Return one sequence that names the profile: what it costs to train on it is the simulated trainer's to know."""
        return (TrainingSequence(prompt="", completion=edit or PASSAGE, weight=1.0),)

    def grade(self, question: Question, answer: str) -> float:
        """Return the grade that the simulated evaluator gave: the answer itself."""
        return float(answer)

    def retention_questions(self) -> tuple[Question, ...]:
        """Return as many questions about known facts as the task has."""
        return tuple(_question(f"known.{index}") for index in range(self._shape.num_retention))

    def _scripted_edit(self, instance: Instance) -> str:
        return str(int(instance.title) % self._num_profiles)

    def _instance(self, split: Split, index: int) -> Instance:
        name = f"{split}-{index}"
        count = self._question_counts[index % len(self._question_counts)]
        questions = tuple(_question(f"{name}.{number}") for number in range(count))
        return Instance(instance_id=name, title=str(index), context=name, prompt=name, questions=questions)


def _question(name: str) -> Question:
    return Question(question_id=name, prompt=name, answers=("1.0",))
