"""The SQuAD-format task: the paper's prompts and parsing, and splits that share nothing."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.jobs import Question
from seal_runtime.controller.joint_study import MAX_DOCUMENT_BYTES, documents_bytes
from seal_runtime.errors import DataError, EditParseError
from seal_runtime.tasks.base import SPLITS, Instance, ScriptedTask
from seal_runtime.tasks.registry import check_instances
from seal_runtime.tasks.squad import SquadTask, edit_segments

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "data" / "passages.json"
REAL_FILES = [
    path for name in ("squad_val.json", "iter0_train.json") if (path := ROOT.parent / "shared" / "data" / "seal-knowledge" / name).is_file()
]

Make = Callable[..., SquadTask]


def squad(data: Path | str, **options: object) -> SquadTask:
    settings: dict[str, object] = {"limit": None, "prompt": "implications", "split_newlines": True, "grader": "contains", **options}
    return SquadTask(data=str(data), **settings)  # type: ignore[arg-type]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def _make(num_passages: int = 3, **options: object) -> SquadTask:
        path = tmp_path / "passages.json"
        rows = [
            {"title": f"T{index}", "context": f"Context {index}.", "questions": [{"question": f"Q{index}?", "answer": f"A{index}"}]}
            for index in range(num_passages)
        ]
        path.write_text(json.dumps(rows))
        return squad(path, **options)

    return _make


@pytest.fixture
def instance(make: Make) -> Instance:
    return make().instances("reward")[0]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (
            "implications",
            "Let's read the following passage and produce a list of implications derived directly or indirectly from the content.\n\n"
            "Passage:\nT2\nContext 2.\n\nImplications:\n",
        ),
        (
            "implications-long",
            "Let's read the following passage and produce a long list of implications derived directly or indirectly from the content.\n\n"
            "Passage:\nT2\nContext 2.\n\nImplications:\n",
        ),
        (
            "implications-very-long",
            "Let's read the following passage and produce a very long list of implications derived directly or indirectly from the "
            "content.\n\nPassage:\nT2\nContext 2.\n\nImplications:\n",
        ),
        (
            "rewrite",
            "Let's read the following passage and rewrite it in a few different ways, each one separated by a newline.\n\n"
            "Passage:\nT2\nContext 2.\n\nRewritten passages:\n",
        ),
        (
            "self-qa",
            "Let's read the following passage and rewrite it in a question-answer format.\n\nPassage:\nT2\nContext 2.\n\nQuestion 1: ",
        ),
    ],
)
def test_prompts_are_the_papers(make: Make, style: str, expected: str) -> None:
    assert make(prompt=style).instances("reward")[0].prompt == expected


def test_question_prompt_names_the_topic_and_not_the_passage(instance: Instance) -> None:
    (question,) = instance.questions
    assert question.prompt == "Let's answer a question directly and concisely.\nQuestion: Topic: T2\nQ2?\nAnswer:\n"
    assert question.answers == ("A2",)


@pytest.mark.parametrize(
    ("edit", "split_newlines", "expected"),
    [
        ("one\ntwo", True, ["one", "two"]),
        ("one\ntwo", False, ["one\ntwo"]),
        (" one \n\n  two\n", True, ["one", "two"]),
        ("one\n---\ntwo\nthree", True, ["one", "two", "three"]),
        ("one\n---\ntwo\nthree\n---\n", False, ["one", "two\nthree"]),
        ("Sure, here is a list:\n1. one\n2. two", True, ["1. one", "2. two"]),
        ("1. one\n2. two", True, ["1. one", "2. two"]),
        ("intro\n10. ten", True, ["intro", "10. ten"]),
        ("Sure:\n1. one", False, ["Sure:\n1. one"]),
        ("", True, []),
        ("", False, []),
        (" \n ", False, []),
        ("---", True, ["---"]),
        (
            "Who?\nAnswer: Ada\nQuestion 2: When?\nAnswer: 1843",
            True,
            ["Question 1: Who?\nAnswer: Ada", "Question 2: When?\nAnswer: 1843"],
        ),
        (
            "Question 1: Who?\nAnswer: Ada\n\nQuestion 2: When?\nAnswer : 1843",
            True,
            ["Question 1: Who?\nAnswer: Ada\n", "Question 2: When?\nAnswer : 1843"],
        ),
        ("Who?\nAnswer: Ada\n---\nQuestion 2: When?", True, ["Question 1: Who?\nAnswer: Ada\n---", "Question 2: When?"]),
        ("Who?\nAnswer: Ada\nQuestion 2: When?", False, ["Who?\nAnswer: Ada\nQuestion 2: When?"]),
        ("Question 1: Who?\nNobody", True, ["Question 1: Who?", "Nobody"]),
    ],
)
def test_edits_are_cut_as_in_the_published_code(edit: str, split_newlines: bool, expected: list[str]) -> None:
    assert edit_segments(edit, split_newlines=split_newlines) == expected


def test_every_sequence_has_the_title_and_the_passage_comes_last(make: Make, instance: Instance) -> None:
    sequences = make().training_sequences(instance, "one\ntwo")
    assert [sequence.completion for sequence in sequences] == ["T2\none", "T2\ntwo", "T2\nContext 2."]
    assert {(sequence.prompt, sequence.weight) for sequence in sequences} == {("", 1.0)}


@pytest.mark.parametrize("split_newlines", [True, False])
def test_empty_edit_is_the_passage_only_control(make: Make, instance: Instance, split_newlines: bool) -> None:
    task = make(split_newlines=split_newlines)
    assert [sequence.completion for sequence in task.training_sequences(instance, " \n")] == ["T2\nContext 2."]


@pytest.mark.parametrize("edit", ["a\x00b", "\ud800", "\x01\x02"])
def test_unusable_edit_is_a_parse_error(make: Make, instance: Instance, edit: str) -> None:
    with pytest.raises(EditParseError, match="expected a self-edit"):
        make().training_sequences(instance, edit)


def test_braces_are_text(tmp_path: Path) -> None:
    rows = [{"title": "{x}", "context": f"{{context}} {index}", "questions": [{"question": "{q}?", "answer": "y"}]} for index in range(3)]
    path = tmp_path / "braces.json"
    path.write_text(json.dumps(rows))
    instance = squad(path).instances("test")[0]
    assert "{x}\n{context} 0\n" in instance.prompt
    assert "Topic: {x}\n{q}?" in instance.questions[0].prompt


def test_splits_go_by_position(make: Make) -> None:
    task = make(num_passages=9)
    assert [[instance.title for instance in task.instances(split)] for split in ("test", "validation", "reward")] == [
        ["T0", "T4", "T8"],
        ["T1", "T5"],
        ["T2", "T3", "T6", "T7"],
    ]


def test_limit_takes_the_first_passages(make: Make) -> None:
    assert [instance.title for instance in make(num_passages=9, limit=4).instances("reward")] == ["T2", "T3"]


def test_too_few_passages_are_refused(make: Make) -> None:
    with pytest.raises(DataError, match="at least 3 passages, one for each split, got 2"):
        make(num_passages=2).instances("reward")


def test_identifiers_depend_on_the_text_alone(make: Make) -> None:
    few, many = make(num_passages=3).instances("reward"), make(num_passages=9).instances("reward")
    assert few[0] == many[0]


def test_grader_is_the_one_asked_for(make: Make) -> None:
    question = Question(question_id="q", prompt="?", answers=("Rome",))
    assert make(grader="contains").grade(question, "It is Rome.") == 1.0
    assert make(grader="exact").grade(question, "It is Rome.") == 0.0


def test_grading_needs_no_data() -> None:
    task = squad("/nowhere/passages.json")
    assert task.grade(Question(question_id="q", prompt="?", answers=("Rome",)), "Rome") == 1.0
    with pytest.raises(DataError, match="found none"):
        task.instances("reward")


def test_the_task_has_no_script() -> None:
    assert not isinstance(squad(EXAMPLE), ScriptedTask)


def test_example_passages_keep_the_contract_and_hold_their_answers() -> None:
    task = squad(EXAMPLE)
    check_instances(task)
    assert [len(task.instances(split)) for split in SPLITS] == [8, 4, 4]
    for split in SPLITS:
        for instance in task.instances(split):
            assert 3 <= len(instance.questions) <= 5
            assert all(answer.lower() in instance.context.lower() for question in instance.questions for answer in question.answers)


@pytest.mark.parametrize("path", REAL_FILES, ids=lambda path: path.stem)
def test_real_passages_keep_the_contract(path: Path) -> None:
    task = squad(path)
    check_instances(task)
    assert sum(len(task.instances(split)) for split in SPLITS) == len(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [path for path in REAL_FILES if path.name == "iter0_train.json"], ids=lambda path: path.stem)
def test_published_edits_all_parse(path: Path) -> None:
    task = squad(path)
    instances = {instance.context: instance for split in SPLITS for instance in task.instances(split)}
    for row in json.loads(path.read_text(encoding="utf-8")):
        instance = instances[row["context"].strip()]
        assert instance.prompt == row["prompt"]
        for edit in row["completions"]:
            sequences = task.training_sequences(instance, edit)
            assert len(sequences) >= 2
            assert sequences[-1].completion == f"{instance.title}\n{instance.context}"


@pytest.mark.parametrize("path", [path for path in REAL_FILES if path.name == "iter0_train.json"], ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("split_newlines", "num_segments", "sha256"),
    [
        (True, 7993, "9abb3cc0856fcc87a0f2f4847de3651f1dda223c9c2d17d15ecfde782ddfcd82"),
        (False, 1000, "3d58424760475caa7490a855b92b72fb277060b68631c2b0eb582b981bd93d6d"),
    ],
)
def test_published_edits_are_cut_as_the_published_code_cuts_them(path: Path, split_newlines: bool, num_segments: int, sha256: str) -> None:
    """The hashes are those of what the published code gives for the same 1,000 edits."""
    edits = [edit for row in json.loads(path.read_text(encoding="utf-8")) for edit in row["completions"]]
    cut = [edit_segments(edit, split_newlines=split_newlines) for edit in edits]
    assert sum(map(len, cut)) == num_segments
    assert hashlib.sha256(json.dumps(cut).encode()).hexdigest() == sha256


def test_a_whole_edit_is_one_document_and_the_passage_another(instance: Instance, make: Make) -> None:
    def documents(edit: str) -> list[str]:
        return [sequence.completion for sequence in make().document_sequences(instance, edit)]

    passage = f"{instance.title}\n{instance.context}"
    assert documents(" One.\nTwo.\n---\nThree. \n") == [f"{instance.title}\nOne.\nTwo.\n---\nThree.", passage]
    assert documents("") == documents(" \n") == [passage]
    with pytest.raises(EditParseError):
        documents("\x00")


@pytest.mark.parametrize("path", [EXAMPLE, *REAL_FILES], ids=lambda path: path.name)
def test_documents_of_two_hundred_passages_fit_one_message_with_room(path: Path) -> None:
    """Real passages; the edits are the published ones where there are any, and long ones where not."""
    task = squad(path)
    instances = [instance for split in SPLITS for instance in task.instances(split)]
    published = {row["context"].strip(): row.get("completions", []) for row in json.loads(path.read_text())}
    sizes = [
        documents_bytes(task.document_sequences(instance, edit))
        for instance in instances
        for edit in (published[instance.context] or ["A fact of it. " * 200] * 5)[:5]
    ]
    assert 5 * 200 * sum(sizes) / len(sizes) < MAX_DOCUMENT_BYTES / 2
