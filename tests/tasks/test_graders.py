"""The graders that a topology can name."""

import re
from pathlib import Path

import pytest

from protocol.jobs import Question
from seal_runtime.config.checks import check_topology
from seal_runtime.config.judge import JudgeConfig
from seal_runtime.config.topology import TaskConfig, Topology
from seal_runtime.errors import ConfigError
from seal_runtime.tasks.graders import make_grader
from seal_runtime.tasks.prompts import answer_prompt, asked_question
from seal_runtime.tasks.registry import make_task

PASSAGES = Path(__file__).parents[2] / "examples" / "data" / "passages.json"
QUESTION = Question(question_id="q", prompt=answer_prompt("Rome", "Which city?"), answers=("Rome", "Roma"))

MODULE = """
def by_length(question, answer):
    return min(len(answer) / 10, 1.0)

NOT_A_FUNCTION = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_graders_of_a_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "my_graders_of_a_test"


@pytest.mark.parametrize(
    ("name", "answer", "grade"),
    [("contains", "It is Roma.", 1.0), ("exact", "It is Roma.", 0.0), ("em", "the Roma", 1.0), ("f1", "in Roma", 2 / 3)],
)
def test_text_graders(name: str, answer: str, grade: float) -> None:
    assert make_grader(name, JudgeConfig())(QUESTION, answer) == pytest.approx(grade)


def test_a_function_of_ones_own_grades(module: str) -> None:
    task = make_task(TaskConfig(name="squad", data=str(PASSAGES), grader=f"{module}:by_length"))
    assert task.grade(QUESTION, "Rome!") == 0.5


@pytest.mark.parametrize(
    ("grader", "said"),
    [
        ("contain", "did you mean contains?"),
        ("my_graders_of_a_test:by_lenght", "did you mean by_length?"),
        ("my_graders_of_a_test:NOT_A_FUNCTION", "found none"),
        ("no_such_module_here:grade", "importable module"),
        (":grade", "module:function"),
    ],
)
def test_a_wrong_grader_stops_the_run_before_it_starts(module: str, grader: str, said: str) -> None:
    topology = Topology(task=TaskConfig(name="squad", data=str(PASSAGES), grader=grader))
    with pytest.raises(ConfigError, match=re.escape(said)):
        check_topology(topology, require_gpus=False)
    with pytest.raises(ConfigError):
        make_grader(grader, JudgeConfig())


def test_a_judge_without_its_key_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    task = TaskConfig(name="squad", data=str(PASSAGES), grader="judge")
    warnings = check_topology(Topology(task=task), require_gpus=False)
    assert any("OPENAI_API_KEY is not set" in warning for warning in warnings)
    local = task.model_copy(update={"judge": JudgeConfig(base_url="http://127.0.0.1:8000/v1")})
    assert not any("OPENAI_API_KEY" in warning for warning in check_topology(Topology(task=local), require_gpus=False))


def test_the_question_is_found_in_its_prompt() -> None:
    assert asked_question(answer_prompt("A title", "Who {is} it?\nAnswer:")) == "Topic: A title\nWho {is} it?\nAnswer:"
    assert asked_question("Another prompt") == "Another prompt"
