"""The self-edits that a benchmark trains on: those of a published file, those of the built-in world, or the model's own.

Files are lists of `{title, context, questions, completions}` as published with SEAL. Edits are taken round-robin over the passages,
so that a small number of them is still varied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

from protocol.jobs import Question, SamplingSpec, TrainingSequence
from seal_runtime.engines.base import GenerationEngine, Policy, RequestFailed, SampleOutput, SampleRequest
from seal_runtime.errors import DataError, EditParseError
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.base import SPLITS, Instance, Task
from seal_runtime.tasks.data_files import Row, read_rows
from seal_runtime.tasks.fictional.documents import EDIT_STYLES, EditStyle, self_edit
from seal_runtime.tasks.fictional.task import FictionalWorldTask
from seal_runtime.tasks.fictional.world import entities, seeded_random
from seal_runtime.tasks.squad import SquadTask

OWN_EDITS_PER_CONTEXT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchEdit:
    """One self-edit as training sequences, and the questions about its passage."""

    edit_id: str
    sequences: tuple[TrainingSequence, ...]
    questions: tuple[Question, ...]

    @property
    def prompts(self) -> tuple[str, ...]:
        """Return what the model is asked."""
        return tuple(question.prompt for question in self.questions)


def edits_from_file(path: Path, num_edits: int) -> list[BenchEdit]:
    """Return the first edits of a file, parsed as the squad task does. Raises DataError for a file without completions."""
    task = SquadTask(data=str(path), limit=None, prompt="implications", split_newlines=True, grader="contains")
    instances = {instance.context: instance for split in SPLITS for instance in task.instances(split)}
    columns = [_completions(row, instances) for row in read_rows(str(path))]
    turns = (entry for turn in zip_longest(*columns) for entry in turn if entry is not None)
    edits = list(islice(_parsed(task, turns), num_edits))
    if not edits:
        raise DataError(f"{path}: expected self-edits in the field `completions` of its rows, got none that can be trained on")
    return edits


def edits_of_world(num_edits: int) -> list[BenchEdit]:
    """Return edits about the reward entities of the built-in world, its seven styles in turn."""
    task = FictionalWorldTask()
    pairs = list(zip(entities("reward"), task.instances("reward"), strict=True))
    turns = (
        (instance, self_edit(entity, instance.context, style, seeded_random("bench", entity.name, style)))
        for shift in range(len(EDIT_STYLES))
        for (entity, instance), style in zip(pairs, _cycled(shift, len(pairs)), strict=True)
    )
    return list(islice(_parsed(task, turns), num_edits))


def own_edits(engine: GenerationEngine, sampling: SamplingSpec, num_edits: int) -> list[BenchEdit]:
    """Let the model write edits about the built-in world. Raises the engine's error when sampling fails."""
    task = FictionalWorldTask()
    contexts = task.instances("reward")[: -(-num_edits // OWN_EDITS_PER_CONTEXT) + 2]
    for instance in contexts:
        seeds = tuple(derive_seed(0, "bench", instance.instance_id, index) for index in range(OWN_EDITS_PER_CONTEXT))
        engine.submit(
            SampleRequest(
                request_id=instance.instance_id,
                policy=Policy(version=0, adapters=()),
                prompt=instance.prompt,
                sampling=sampling,
                seeds=seeds,
            )
        )
    texts: dict[str, tuple[str, ...]] = {}
    while engine.num_pending:
        for output in engine.step():
            if isinstance(output, RequestFailed):
                raise output.error
            assert isinstance(output, SampleOutput), output
            texts[output.request_id] = tuple(edit.text for edit in output.edits)
    turns = ((instance, texts[instance.instance_id][index]) for index in range(OWN_EDITS_PER_CONTEXT) for instance in contexts)
    return list(islice(_parsed(task, turns), num_edits))


def _cycled(shift: int, count: int) -> Iterator[EditStyle]:
    return (EDIT_STYLES[(shift + index) % len(EDIT_STYLES)] for index in range(count))


def _parsed(task: Task, turns: Iterator[tuple[Instance, str]]) -> Iterator[BenchEdit]:
    """Yield the edits that can be trained on; one that cannot is data, and would get reward 0 without training."""
    for number, (instance, text) in enumerate(turns):
        try:
            sequences = task.training_sequences(instance, text)
        except EditParseError:
            continue
        yield BenchEdit(edit_id=f"edit-{number}", sequences=sequences, questions=instance.questions)


def _completions(row: Row, instances: dict[str, Instance]) -> Sequence[tuple[Instance, str]]:
    value = row.value if isinstance(row.value, dict) else {}
    texts, context = value.get("completions"), value.get("context")
    if not isinstance(texts, list) or not isinstance(context, str) or context.strip() not in instances:
        raise DataError(
            f"{row.location}: expected a passage with questions and a field `completions` (a list of self-edits); "
            "a file without self-edits cannot be benchmarked"
        )
    return [(instances[context.strip()], text) for text in texts if isinstance(text, str)]
