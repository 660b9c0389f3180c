"""Task arc as a run uses it: splits, loops of self-edits, questions and the score of a puzzle."""

import json
from pathlib import Path

import pytest
from arc_files import CALM, REAL, real_files, write_files
from hypothesis import given
from hypothesis import strategies as st

from protocol.jobs import Question
from protocol.prompts import plain_prompt
from seal_runtime.config.arc import BEST_CONFIG, ArcConfig
from seal_runtime.config.topology import TaskConfig
from seal_runtime.errors import ConfigError, DataError, EditParseError
from seal_runtime.tasks.arc.prompts import parse_answer
from seal_runtime.tasks.arc.questions import way_of
from seal_runtime.tasks.arc.task import ArcTask
from seal_runtime.tasks.base import InnerLoop, InnerLoopTask, LongAnswerTask, ScoringTask, ScriptedTask, Untrained
from seal_runtime.tasks.registry import check_instances, make_task


@pytest.fixture(scope="module")
def arc(tmp_path_factory: pytest.TempPathFactory) -> ArcConfig:
    return write_files(tmp_path_factory.mktemp("arc"), tests=2)


def task_of(arc: ArcConfig, **changes: object) -> ArcTask:
    task = make_task(TaskConfig(name="arc", arc=ArcConfig.model_validate({**arc.model_dump(), **changes})))
    assert isinstance(task, ArcTask)
    return task


def gold(questions: tuple[Question, ...]) -> list[str]:
    return [question.answers[0] for question in questions]


def check_published(arc: ArcConfig, sizes: tuple[int, int, int]) -> None:
    """Check what must hold of any files: the splits, and that right answers to all questions solve every puzzle."""
    for scheme in ("augmented", "leave-one-out"):
        task = task_of(arc, questions=scheme)
        check_instances(task)
        splits = [task.instances(split) for split in ("reward", "validation", "test")]
        assert tuple(map(len, splits)) == sizes
        for instance in (instance for instances in splits for instance in instances):
            assert task.score(instance.questions, gold(instance.questions)) == 1.0
            assert task.score(instance.questions, [""] * len(instance.questions)) == 0.0
            assert all(task.grade(question, question.answers[0]) == 1.0 for question in instance.questions)


def test_small_files(arc: ArcConfig) -> None:
    check_published(arc, (3, 1, 2))


def test_the_published_files(tmp_path: Path) -> None:
    if not REAL.is_dir():
        # The same counts in the same format, so that the test says something everywhere.
        check_published(write_files(tmp_path, training=12, evaluation=10), (11, 1, 10))
        return
    check_published(real_files(), (11, 1, 10))
    task = task_of(real_files())
    for split in ("reward", "validation", "test"):
        for instance in task.instances(split)[:3]:
            loop = task.inner_loop(instance, BEST_CONFIG, 0)
            assert isinstance(loop, InnerLoop), "the published best configuration trains on these puzzles"
            assert 150 < len(loop.sequences) <= 250


def test_it_has_every_optional_method(arc: ArcConfig) -> None:
    task = task_of(arc)
    for protocol in (InnerLoopTask, ScoringTask, LongAnswerTask, ScriptedTask):
        assert isinstance(task, protocol) or protocol is ScriptedTask
    assert task.scripted_edit(task.instances("test")[0]) == BEST_CONFIG
    assert task.answer_stop() == "#"


def test_five_augmentations_in_two_orders_for_each_test_input(arc: ArcConfig) -> None:
    questions = task_of(arc).instances("reward")[0].questions
    ways = [(way_of(question).test, way_of(question).augmentation) for question in questions]
    names = ["transpose", "flip-rows", "flip-columns", "rotate-90", "rotate-180"]
    assert ways == [(test, name) for test in range(2) for name in names for _ in range(2)]
    assert len({question.prompt for question in questions}) == 20


def test_the_published_codes_questions_leave_one_demonstration_out(arc: ArcConfig) -> None:
    questions = [
        question for question in task_of(arc, questions="leave-one-out").instances("reward")[0].questions if ".t0." in question.question_id
    ]
    names = [way_of(question).augmentation for question in questions]
    assert names[:5] == ["transpose", "flip-rows", "flip-columns", "rotate-90", "rotate-180"]
    # three choices of two demonstrations, each in both orders at most
    assert 3 <= names.count("identity") <= 6
    assert all(question.prompt.count(" -> ") == 3 for question in questions)


def test_a_puzzle_counts_only_when_every_test_input_is_right(arc: ArcConfig) -> None:
    task = task_of(arc)
    questions = task.instances("test")[0].questions
    answers = gold(questions)
    one_test_wrong = [answer if way_of(question).test else "[[0]]#" for question, answer in zip(questions, answers, strict=True)]
    assert task.score(questions, one_test_wrong) == 0.0
    mostly_wrong = [answer if index % 10 < 2 else f"no grid {index}" for index, answer in enumerate(answers)]
    assert task.score(questions, mostly_wrong) == 1.0, "what is no grid has no vote"


def test_the_second_attempt_counts_too(arc: ArcConfig) -> None:
    task = task_of(arc)
    questions = task.instances("test")[0].questions
    for first_right in (0, 6):
        answers = []
        for index, question in enumerate(questions):
            is_right = first_right <= index % 10 < first_right + 4
            answers.append(question.answers[0] if is_right else "[[9]]#")
        assert task.score(questions, answers) == 1.0


@given(answers=st.lists(st.text(max_size=20), min_size=20, max_size=20))
@CALM
def test_any_answers_have_a_score(arc: ArcConfig, answers: list[str]) -> None:
    assert task_of(arc).score(task_of(arc).instances("test")[0].questions, answers) == 0.0


def test_a_question_of_another_task_has_no_score(arc: ArcConfig) -> None:
    with pytest.raises(ValueError, match="expected a question of task arc"):
        task_of(arc).score([Question(question_id="a.b.c.d", prompt="?", answers=("x",))], ["x"])


def test_the_strategy_says_where_the_loss_is(arc: ArcConfig) -> None:
    task = task_of(arc)
    instance = task.instances("reward")[0]
    for strategy, everywhere in (("train_using_all_tokens", True), ("train_using_output_tokens", False)):
        loop = task.inner_loop(instance, BEST_CONFIG.replace("train_using_output_tokens", strategy), 1)
        assert isinstance(loop, InnerLoop)
        assert {sequence.loss_on_prompt for sequence in loop.sequences} == {everywhere}
        assert (loop.learning_rate, loop.epochs) == (1e-4, 2.0)


def test_test_inputs_never_reach_a_training_text(arc: ArcConfig) -> None:
    task = task_of(arc)
    instance = task.instances("reward")[0]
    loop = task.inner_loop(instance, BEST_CONFIG, 1)
    assert isinstance(loop, InnerLoop)
    asked = {plain_prompt(question.prompt).rpartition("\n[[")[2] for question in instance.questions}
    assert not any(plain_prompt(sequence.prompt).rpartition("\n[[")[2] in asked for sequence in loop.sequences)


def test_more_than_375_steps_train_nothing(arc: ArcConfig) -> None:
    task = task_of(arc, max_examples=100)
    instance = task.instances("reward")[0]
    loop = task.inner_loop(instance, BEST_CONFIG.replace('"num_train_epochs": 2', '"num_train_epochs": 7.5'), 1)
    assert isinstance(loop, InnerLoop), "7.5 x 100 / 2 are 375 steps"
    over = task.inner_loop(instance, BEST_CONFIG.replace('"num_train_epochs": 2', '"num_train_epochs": 8'), 1)
    assert over == Untrained(reason="8 epochs of 100 puzzles are 400 optimizer steps, more than 375")


def test_a_text_that_is_no_json_cannot_be_parsed_and_no_text_is_the_control(arc: ArcConfig) -> None:
    task = task_of(arc)
    instance = task.instances("reward")[0]
    for edit in ("yes", ""):
        with pytest.raises(EditParseError):
            task.inner_loop(instance, edit, 1)
    with pytest.raises(EditParseError):
        task.training_sequences(instance, "yes")
    assert task.training_sequences(instance, "{}") == ()
    assert len(task.training_sequences(instance, "")) == 9
    assert len(task.training_sequences(instance, BEST_CONFIG)) > 100


def test_what_does_not_fit_is_left_out_of_training_and_questions_lose_demonstrations(arc: ArcConfig) -> None:
    task = task_of(arc, max_chars=380)
    instance = task.instances("reward")[0]
    assert isinstance(task.inner_loop(instance, BEST_CONFIG, 1), InnerLoop)
    assert all(len(question.prompt) + len(question.answers[0]) <= 380 for question in instance.questions)
    nothing_fits = task_of(arc, max_chars=64).inner_loop(instance, BEST_CONFIG, 1)
    assert nothing_fits == Untrained(reason="no training puzzle is as short as task.arc.max_chars 64")


def test_an_evaluator_grades_without_the_files(arc: ArcConfig) -> None:
    questions = task_of(arc).instances("test")[0].questions
    elsewhere = make_task(TaskConfig(name="arc", arc=ArcConfig(training_challenges="/nowhere.json")))
    assert isinstance(elsewhere, ArcTask)
    assert elsewhere.score(questions, gold(questions)) == 1.0
    assert parse_answer(questions[0].answers[0]) is not None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data["train0"].pop("train"), "task train0, train: expected a list, got nothing"),
        (lambda data: data["train0"].update(train=[]), "expected demonstrations and test inputs, got 0 and 2"),
        (lambda data: data["train0"]["train"][1].pop("output"), "train 1, output: expected a grid"),
        (lambda data: data["train0"]["train"][0]["input"].append([1]), "rows of one length"),
        (lambda data: data["train0"]["train"][0]["input"][0].__setitem__(0, 10), "colours from 0 to 9, got 10"),
        (lambda data: data["train0"]["test"][0].update(input=[[0] * 31]), "test 0, input: expected a grid"),
        (lambda data: data["train0"]["test"].pop(), "expected a list of 1 output"),
        (lambda data: data.update(train1="x"), "task train1: expected an object"),
        (lambda data: data.clear(), "at least one task"),
    ],
)
def test_a_malformed_file_is_named_with_its_task(tmp_path: Path, change: object, reason: str) -> None:
    arc = write_files(tmp_path, tests=2)
    path = Path(str(arc.training_challenges))
    data = json.loads(path.read_text())
    change(data)  # type: ignore[operator]
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=reason):
        task_of(arc).instances("reward")


def test_a_puzzle_in_both_sets_is_refused(tmp_path: Path) -> None:
    arc = write_files(tmp_path)
    task = task_of(arc, evaluation_challenges=arc.training_challenges, evaluation_solutions=arc.training_solutions)
    with pytest.raises(DataError, match="unique"):
        check_instances(task)


def test_outputs_may_stand_beside_the_test_inputs(tmp_path: Path) -> None:
    arc = write_files(tmp_path)
    path = Path(str(arc.training_challenges))
    data, solutions = json.loads(path.read_text()), json.loads(Path(str(arc.training_solutions)).read_text())
    for name, task in data.items():
        for test, output in zip(task["test"], solutions[name], strict=True):
            test["output"] = output
    path.write_text(json.dumps(data))
    assert task_of(arc, training_solutions=None).instances("reward") == task_of(arc).instances("reward")


@pytest.mark.parametrize(("scripted", "reason"), [("{", "expected a JSON object"), ("{}", "data_generation: expected an object")])
def test_a_scripted_edit_that_cannot_train_is_refused(scripted: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"task.arc.scripted: {reason}"):
        ArcTask(ArcConfig(scripted=scripted))


def test_too_few_puzzles_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected more than"):
        task_of(write_files(tmp_path, training=1)).instances("reward")
    with pytest.raises(ConfigError, match="training_challenges"):
        ArcTask(ArcConfig()).instances("reward")
