"""Few-shot ARC (SEAL, section 4.1): the policy reads the demonstrations of a puzzle and writes how to train on them.

Splits: `reward` are the training puzzles but the last `num_validation`, which are `validation`; `test` are the evaluation puzzles. A
puzzle counts 1 when one of two attempts is right for every test input, else 0. The files are read when instances are first asked for:
an evaluator on another host grades without them.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from protocol.jobs import Question, TrainingSequence
from seal_runtime.config.arc import ArcConfig
from seal_runtime.errors import ConfigError, DataError, EditParseError
from seal_runtime.tasks.arc.augmentations import INVERTIBLE
from seal_runtime.tasks.arc.data import ArcPuzzle, read_puzzles
from seal_runtime.tasks.arc.grids import Grid
from seal_runtime.tasks.arc.prompts import END_OF_GRID, edit_prompt, parse_answer, puzzle_sequence, shown_demonstrations
from seal_runtime.tasks.arc.questions import questions_of, way_of
from seal_runtime.tasks.arc.self_edits import parse_edit
from seal_runtime.tasks.arc.training_data import bare_puzzles, training_puzzles
from seal_runtime.tasks.arc.voting import Answered, two_attempts
from seal_runtime.tasks.base import InnerLoop, Instance, Split, Untrained

_SEQUENCES_PER_STEP = 2


class ArcTask:
    """Puzzles of coloured grids."""

    def __init__(self, config: ArcConfig) -> None:
        self._config = config
        try:
            scripted = parse_edit(config.scripted)
        except EditParseError as error:
            raise ConfigError(f"task.arc.scripted: {error}") from None
        if isinstance(scripted, Untrained):
            raise ConfigError(f"task.arc.scripted: {scripted.reason}")

    def instances(self, split: Split) -> Sequence[Instance]:
        """Return the puzzles of a split in file order. Raises DataError when a file is missing or malformed, or holds too few."""
        return self._splits[split]

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Return what an edit trains on with seed 0; without an edit the puzzles of leaving out alone, the control.

        Raises EditParseError for an edit that is not JSON.
        """
        if edit:
            loop = self.inner_loop(instance, edit, 0)
            return () if isinstance(loop, Untrained) else loop.sequences
        puzzles = bare_puzzles(self._puzzle(instance).demonstrations, self._config)
        return tuple(puzzle_sequence(puzzle, loss_on_prompt=False) for puzzle in puzzles)

    def inner_loop(self, instance: Instance, edit: str, seed: int) -> InnerLoop | Untrained:
        """Return the training that an edit asks for. Raises EditParseError for one that is not JSON."""
        chosen = parse_edit(edit)
        if isinstance(chosen, Untrained):
            return chosen
        puzzles = training_puzzles(self._puzzle(instance).demonstrations, chosen, self._config, seed)
        if not puzzles:
            return Untrained(reason=f"no training puzzle is as short as task.arc.max_chars {self._config.max_chars}")
        num_steps = chosen.num_train_epochs * len(puzzles) // _SEQUENCES_PER_STEP
        if num_steps > self._config.max_steps:
            wanted = f"{chosen.num_train_epochs:g} epochs of {len(puzzles)} puzzles"
            return Untrained(reason=f"{wanted} are {num_steps:g} optimizer steps, more than {self._config.max_steps}")
        loss_on_prompt = chosen.strategy == "train_using_all_tokens"
        sequences = tuple(puzzle_sequence(puzzle, loss_on_prompt=loss_on_prompt) for puzzle in puzzles)
        return InnerLoop(sequences=sequences, learning_rate=chosen.learning_rate, epochs=chosen.num_train_epochs)

    def grade(self, question: Question, answer: str) -> float:
        """Return 1.0 when the answer is the output of its own question."""
        return float(parse_answer(answer) == parse_answer(question.answers[0]))

    def score(self, questions: Sequence[Question], answers: Sequence[str]) -> float:
        """Return 1.0 when, for each test input, one of two attempts is right: the answers are turned back and voted on."""
        votes: dict[int, list[Answered]] = {}
        wanted: dict[int, Grid | None] = {}
        for question, answer in zip(questions, answers, strict=True):
            way = way_of(question)
            invert = INVERTIBLE[way.augmentation].invert
            gold, given = parse_answer(question.answers[0]), parse_answer(answer)
            wanted[way.test] = None if gold is None else invert(gold)
            cast = votes.setdefault(way.test, [])
            cast += [] if given is None else [(way.augmentation, invert(given))]
        return float(all(wanted[test] in two_attempts(cast) for test, cast in votes.items()))

    def answer_stop(self) -> str:
        """Return the mark that ends a grid."""
        return END_OF_GRID

    def scripted_edit(self, instance: Instance) -> str:
        """Return the hand-made configuration, the same for every puzzle."""
        return self._config.scripted

    def _puzzle(self, instance: Instance) -> ArcPuzzle:
        return self._puzzles[instance.instance_id]

    @cached_property
    def _training(self) -> list[ArcPuzzle]:
        return self._read("training", self._config.training_challenges, self._config.training_solutions)

    @cached_property
    def _evaluation(self) -> list[ArcPuzzle]:
        if self._config.evaluation_challenges is None:
            return []
        return self._read("evaluation", self._config.evaluation_challenges, self._config.evaluation_solutions)

    @cached_property
    def _puzzles(self) -> Mapping[str, ArcPuzzle]:
        return {puzzle.name: puzzle for puzzle in (*self._training, *self._evaluation)}

    @cached_property
    def _splits(self) -> Mapping[Split, tuple[Instance, ...]]:
        kept = self._config.num_validation
        if len(self._training) <= kept:
            raise DataError(
                f"{self._config.training_challenges}: expected more than task.arc.num_validation ({kept}) tasks, got {len(self._training)}"
            )
        first = len(self._training) - kept
        splits: dict[Split, list[ArcPuzzle]] = {
            "reward": self._training[:first],
            "validation": self._training[first:],
            "test": self._evaluation,
        }
        return {split: tuple(self._instance(puzzle) for puzzle in puzzles) for split, puzzles in splits.items()}

    def _read(self, kind: str, challenges: str | None, solutions: str | None) -> list[ArcPuzzle]:
        if challenges is None:
            raise ConfigError(f"task.arc.{kind}_challenges: expected a JSON file of ARC tasks for task arc, got nothing")
        return read_puzzles(challenges, solutions)

    def _instance(self, puzzle: ArcPuzzle) -> Instance:
        return Instance(
            instance_id=puzzle.name,
            title=f"ARC {puzzle.name}",
            context=shown_demonstrations(puzzle.demonstrations),
            prompt=edit_prompt(puzzle.demonstrations),
            questions=questions_of(puzzle.name, puzzle.demonstrations, puzzle.tests, self._config),
        )
