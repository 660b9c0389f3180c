"""Read the rows of a data set from a JSON, JSON-lines or parquet file, or from the hub. Knows nothing of what a row means."""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seal_runtime.config.hub_reach import forgo_unreachable_hub
from seal_runtime.config.references import hub_data_reference, is_data_file
from seal_runtime.config.yaml_source import describe
from seal_runtime.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it came and where it stands, such as `passages.json, row 3`."""

    location: str
    value: object


def read_rows(data: str) -> list[Row]:
    """Read all rows of a file or a hub data set (`org/name` or `org/name:split`), in order; rows count from 1.

    Raises DataError when the data is missing, unreadable or not of its format; ConfigError when the name has no known form.
    """
    if not is_data_file(data):
        return _hub_rows(data)
    path = Path(data).expanduser()
    if path.suffix.lower() == ".parquet":
        return _parquet_rows(path)
    text = _text(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_lines(path, text)
    return _json_rows(path, text)


def read_json(path: Path) -> object:
    """Return what a JSON file holds. Raises DataError when it is missing, unreadable or no JSON."""
    return _parsed(_text(path), str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: expected a data file, found none; relative paths start at the working directory {Path.cwd()}") from None
    except OSError as error:
        raise DataError(f"{path}: expected a readable data file, got: {error.strerror}") from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{path}: expected UTF-8 text, got byte {byte:#04x} at offset {error.start}; convert the file to UTF-8") from error


def _json_rows(path: Path, text: str) -> list[Row]:
    value = _parsed(text, str(path))
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if not isinstance(value, list):
        raise DataError(f"{path}: expected a list of passages, or the official SQuAD form with a list in `data`, got {describe(value)}")
    return _numbered(path.name, value)


def _json_lines(path: Path, text: str) -> list[Row]:
    # Not splitlines: JSON strings may hold U+2028 and other characters that it takes for line ends.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return [Row(location=f"{path.name}, line {number}", value=_parsed(line, f"{path}, line {number}")) for number, line in lines]


def _parsed(text: str, location: str) -> object:
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{location}: expected JSON, got: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{location}: expected JSON, got: {error}") from None
    return value


def _parquet_rows(path: Path) -> list[Row]:
    if not path.is_file():
        raise DataError(f"{path}: expected a data file, found none; relative paths start at the working directory {Path.cwd()}")
    import datasets

    try:
        # A cache of its own: the shared one would keep a second copy of the file for ever.
        with tempfile.TemporaryDirectory(prefix="seal-parquet-") as cache:
            rows = list(datasets.Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{path}: expected a parquet file, got: {_cause(error)}") from error
    return _numbered(path.name, rows)


def _hub_rows(data: str) -> list[Row]:
    name, split = hub_data_reference(data)
    forgo_unreachable_hub()
    import datasets

    try:
        rows = list(datasets.load_dataset(name, split=split))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"expected the data set {name!r} (split {split!r}) from the hub or its cache, got: {_cause(error)}; "
            "check the name and the split, download it once with a network, or name a local file in task.data"
        ) from error
    return _numbered(data, rows)


def _numbered(name: str, values: Iterable[object]) -> list[Row]:
    return [Row(location=f"{name}, row {number}", value=value) for number, value in enumerate(values, start=1)]


def _cause(error: BaseException) -> str:
    """Return the innermost message on one line: libraries wrap the useful one in generic ones."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
