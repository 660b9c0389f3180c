"""Data files: every layout gives the same passages, and a malformed row is named with its field."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seal_runtime.errors import ConfigError, DataError
from seal_runtime.tasks.data_files import read_rows
from seal_runtime.tasks.passages import Passage, PassageQuestion, passages_of

ROOT = Path(__file__).parents[2]

EXPECTED = [
    Passage(
        title="Tides",
        context="The moon pulls.",
        questions=(
            PassageQuestion(question="What pulls?", answers=("moon", "the moon")),
            PassageQuestion(question="What does it do?", answers=("pulls",)),
        ),
    ),
    Passage(title="Cork", context="Cork is bark.", questions=(PassageQuestion(question="What is cork?", answers=("bark",)),)),
]

PASSAGE_ROWS: list[dict[str, object]] = [
    {
        "title": "Tides",
        "context": "The moon pulls.",
        "questions": [{"question": "What pulls?", "answers": ["moon", "the moon"]}, {"question": "What does it do?", "answer": "pulls"}],
    },
    {"title": "Cork", "context": "Cork is bark.", "questions": [{"question": "What is cork?", "answer": "bark"}]},
]
HUB_ROWS = [
    {"title": "Tides", "context": "The moon pulls.", "question": "What pulls?", "answers": {"text": ["moon", "the moon", "moon"]}},
    {"title": "Cork", "context": "Cork is bark.", "question": "What is cork?", "answers": {"text": ["bark"]}},
    {"title": "Tides", "context": "The moon pulls.", "question": "What does it do?", "answers": {"text": ["pulls"]}},
    {"title": "Tides", "context": "The moon pulls.", "question": "What pushes?", "answers": {"text": []}},
]
OFFICIAL = {
    "version": "1.1",
    "data": [
        {
            "title": "Tides",
            "paragraphs": [
                {
                    "context": "The moon pulls.",
                    "qas": [
                        {"id": "1", "question": "What pulls?", "answers": [{"text": "moon"}, {"text": "the moon"}]},
                        {"id": "2", "question": "What does it do?", "answers": [{"text": "pulls"}]},
                        {"id": "3", "question": "What pushes?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        },
        {
            "title": "Cork",
            "paragraphs": [{"context": "Cork is bark.", "qas": [{"id": "4", "question": "What is cork?", "answers": [{"text": "bark"}]}]}],
        },
    ],
}


def passages(path: Path) -> list[Passage]:
    return passages_of(read_rows(str(path)))


def written(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize("value", [PASSAGE_ROWS, HUB_ROWS, OFFICIAL], ids=["passages", "hub", "official"])
def test_every_json_layout_gives_the_same_passages(tmp_path: Path, value: object) -> None:
    assert passages(written(tmp_path / "data.json", value)) == EXPECTED


def test_json_lines(tmp_path: Path) -> None:
    lines = "\n\n".join(json.dumps(row) for row in HUB_ROWS)
    assert passages(written(tmp_path / "data.jsonl", lines)) == EXPECTED


def test_line_separators_inside_json_lines_are_text(tmp_path: Path) -> None:
    row = {"title": "T", "context": "one\u2028two", "questions": [{"question": "Q", "answer": "A"}]}
    assert passages(written(tmp_path / "data.jsonl", json.dumps(row, ensure_ascii=False)))[0].context == "one\u2028two"


def test_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(PASSAGE_ROWS).encode())
    assert passages(path) == EXPECTED


def test_parquet(tmp_path: Path) -> None:
    import datasets

    path = tmp_path / "data.parquet"
    datasets.Dataset.from_list(HUB_ROWS).to_parquet(str(path))
    assert passages(path) == EXPECTED
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="expected a parquet file"):
        read_rows(str(tmp_path / "broken.parquet"))


def test_extra_columns_do_no_harm(tmp_path: Path) -> None:
    rows = [{**row, "completions": ["x"], "prompt": "y"} for row in PASSAGE_ROWS]
    assert passages(written(tmp_path / "data.json", rows)) == EXPECTED


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("text", "data.json, row 2: expected an object with fields, got 'text' (text)"),
        ({"context": "C", "questions": []}, "data.json, row 2, field title: expected text that is not empty, got nothing"),
        ({"title": "T", "questions": []}, "field context: expected text that is not empty, got nothing"),
        ({"title": "T", "context": " ", "questions": [{}]}, "field context: expected text that is not empty, got ' ' (text)"),
        ({"title": "T", "context": 3, "questions": [{}]}, "got 3 (an integer)"),
        ({"title": "T", "context": "C"}, "expected a field questions (a list), question or paragraphs, got only title, context"),
        ({"title": "T", "context": "C", "questions": []}, "field questions: expected at least one question, got an empty list"),
        ({"title": "T", "context": "C", "questions": "Q"}, "field questions: expected a list, got 'Q' (text)"),
        ({"title": "T", "context": "C", "questions": ["Q"]}, "row 2, questions[0]: expected an object"),
        ({"title": "T", "context": "C", "questions": [{"answer": "A"}]}, "row 2, questions[0], field question: expected text"),
        ({"title": "T", "context": "C", "questions": [{"question": "Q"}]}, "questions[0]: expected a field answer (text) or answers"),
        ({"title": "T", "context": "C", "questions": [{"question": "Q", "answers": []}]}, "expected a field answer (text) or answers"),
        ({"title": "T", "context": "C", "questions": [{"question": "Q", "answers": ["A", 7]}]}, "field answers[1]: expected text"),
        ({"title": "T", "context": "C", "question": "Q", "answers": {"text": "A"}}, "field text: expected a list, got 'A' (text)"),
        ({"title": "T", "paragraphs": [{"context": "C"}]}, "row 2, paragraphs[0], field qas: expected a list, got nothing"),
    ],
)
def test_malformed_row_is_named_with_its_field(tmp_path: Path, row: object, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        passages(written(tmp_path / "data.json", [PASSAGE_ROWS[0], row]))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("data.json", "[{", "expected JSON, got"),
        ("data.json", '{"rows": []}', "expected a list of passages"),
        ("data.json", "[" * 100_000, "expected JSON, got"),
        ("data.jsonl", '{"title": "T"}\n{"title": \n', "data.jsonl, line 2: expected JSON, got"),
    ],
)
def test_file_that_is_no_json_is_refused(tmp_path: Path, name: str, text: str, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        read_rows(str(written(tmp_path / name, text)))
    assert expected in str(caught.value)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    for name in ("missing.json", "missing.parquet"):
        with pytest.raises(DataError, match="expected a data file, found none"):
            read_rows(str(tmp_path / name))
    with pytest.raises(DataError, match="expected a readable data file"):
        read_rows(str(tmp_path))
    (tmp_path / "latin.json").write_bytes(b'["\xe9"]')
    with pytest.raises(DataError, match="expected UTF-8 text, got byte 0xe9 at offset 2"):
        read_rows(str(tmp_path / "latin.json"))


def test_name_of_neither_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="or a hub data set"):
        read_rows("what is this")


def test_hub_name_without_network_is_a_clear_error(tmp_path: Path) -> None:
    code = (
        "from seal_runtime.errors import DataError\nfrom seal_runtime.tasks.data_files import read_rows\n"
        "try:\n    read_rows('org/name:validation')\nexcept DataError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert "expected the data set 'org/name' (split 'validation') from the hub or its cache" in done.stdout
    assert "name a local file in task.data" in done.stdout
