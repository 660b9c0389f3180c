"""The built-in task keeps the task contract."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.jobs import Question
from seal_runtime.errors import EditParseError
from seal_runtime.tasks.base import SPLITS, ScriptedTask
from seal_runtime.tasks.fictional import FictionalWorldTask
from seal_runtime.tasks.fictional.task import MAX_EDIT_CHARACTERS, MAX_EDIT_LINES
from seal_runtime.tasks.fictional.world import entities

TASK = FictionalWorldTask()
FIRST = TASK.instances("validation")[0]


def test_task_satisfies_the_contract_of_a_scripted_task():
    assert isinstance(TASK, ScriptedTask)


def test_prompt_holds_title_and_context():
    assert FIRST.prompt == (
        "Let's read the following passage and produce a list of implications.\n\n"
        f"Passage:\n{FIRST.title}\n{FIRST.context}\n\nImplications:\n"
    )


def test_questions_never_show_the_passage_but_the_passage_tells_every_answer():
    for split in SPLITS:
        for instance in TASK.instances(split):
            assert len({question.prompt for question in instance.questions}) == 12
            assert len({question.question_id for question in instance.questions}) == 12
            for question in instance.questions:
                assert instance.context not in question.prompt
                assert question.answers[0] not in question.prompt.split()
                assert question.answers[0] in instance.context.replace(".", " ").split()


def test_training_sequences_are_the_lines_then_the_passage_each_with_the_title():
    sequences = TASK.training_sequences(FIRST, "  one\n\n two \n")
    assert [sequence.completion for sequence in sequences] == [
        f"{FIRST.title}\none",
        f"{FIRST.title}\ntwo",
        f"{FIRST.title}\n{FIRST.context}",
    ]
    assert {(sequence.prompt, sequence.weight) for sequence in sequences} == {("", 1.0)}


@pytest.mark.parametrize("edit", ["", " \n\t\n"])
def test_empty_edit_is_the_passage_only_control(edit):
    assert [sequence.completion for sequence in TASK.training_sequences(FIRST, edit)] == [f"{FIRST.title}\n{FIRST.context}"]


def test_lines_beyond_the_cap_are_dropped():
    sequences = TASK.training_sequences(FIRST, "\n".join(f"line {index}" for index in range(40)))
    assert len(sequences) == MAX_EDIT_LINES + 1
    assert sequences[MAX_EDIT_LINES - 1].completion == f"{FIRST.title}\nline {MAX_EDIT_LINES - 1}"


@pytest.mark.parametrize("edit", ["a\x00b", "\x01\x02\n\x03", "x" * (MAX_EDIT_CHARACTERS + 1)])
def test_unusable_edit_is_an_edit_parse_error(edit):
    with pytest.raises(EditParseError, match="expected a self-edit"):
        TASK.training_sequences(FIRST, edit)


@given(st.text())
def test_any_text_becomes_sequences_or_an_edit_parse_error(edit):
    try:
        sequences = TASK.training_sequences(FIRST, edit)
    except EditParseError:
        return
    assert 1 <= len(sequences) <= MAX_EDIT_LINES + 1
    assert sequences[-1].completion == f"{FIRST.title}\n{FIRST.context}"


@pytest.mark.parametrize(
    ("answer", "grade"),
    [("Paris", 1.0), (" paris.\n", 1.0), ("PARIS!", 1.0), ("", 0.0), ("Paris France", 0.0), ("in Paris", 0.0), (".", 0.0)],
)
def test_grade_is_normalised_exact_match(answer, grade):
    question = Question(question_id="q", prompt="Where?", answers=("Paris", "Lutetia"))
    assert TASK.grade(question, answer) == grade


def test_scripted_edit_tells_all_six_facts_and_is_always_the_same():
    for entity, instance in zip(entities("test"), TASK.instances("test"), strict=True):
        edit = TASK.scripted_edit(instance)
        assert edit == FictionalWorldTask().scripted_edit(instance)
        assert {line.rsplit("Answer: ", 1)[1] for line in edit.split("\n")} == {fact.value for fact in entity.facts}
        assert len(edit.split("\n")) == 6


def test_scripted_edit_of_a_foreign_instance_is_refused():
    class Foreign:
        title = "Nobody Known"
        context = ""

    with pytest.raises(ValueError, match="fictional world"):
        TASK.scripted_edit(Foreign())  # type: ignore[arg-type]


def test_retention_questions_are_about_known_entities_only():
    questions = TASK.retention_questions()
    known = {entity.name for entity in entities("known")}
    assert len({question.question_id for question in questions}) == 120
    assert all(question.prompt.split("Topic: ")[1].split("\n")[0] in known for question in questions)


def test_retention_questions_spread_over_the_relations():
    relations = {question.question_id.rsplit(".", 1)[1] for question in TASK.retention_questions()}
    assert len(relations) > 24


def test_task_is_the_same_in_another_process_and_needs_no_torch():
    program = (
        "import sys; from seal_runtime.tasks.fictional import split_fingerprints; print(sorted(split_fingerprints().values()));"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
