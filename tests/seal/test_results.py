"""Reading and writing result files."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from result_files import article, completion, results

from seal_runtime.errors import DataError, StoreError
from seal_runtime.seal.results import read_results, write_results


def test_a_file_survives_reading_and_writing(tmp_path: Path) -> None:
    value = results([article("Zürich", [completion("x", 1 / 3)])])
    (tmp_path / "in.json").write_text(json.dumps(value))
    write_results(tmp_path / "out.json", read_results(tmp_path / "in.json"))
    written = json.loads((tmp_path / "out.json").read_text())
    assert written == {**{key: item for key, item in value.items() if key != "model"}, "exp_name": ""}
    assert "Zürich" in (tmp_path / "out.json").read_text()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "result file of query_server"),
        ("{", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        (json.dumps(results([article("A", [completion("x", 0.5)])]) | {"eval_times": "three"}), "eval_times"),
        (json.dumps(results([article("A", [{"text": "x"}])])), r"articles\.0\.completions\.0\.stats"),
    ],
)
def test_another_file_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(DataError, match=said):
        read_results(tmp_path / "file.json")


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_results(tmp_path / "none.json")
    (tmp_path / "in.json").write_text(json.dumps(results([article("A", [completion("x", 0.5)])])))
    with pytest.raises(StoreError, match="cannot write"):
        write_results(tmp_path / "no" / "folder.json", read_results(tmp_path / "in.json"))
