"""A result file of the reference's query_server: articles, their self-edits with statistics, and every answer.

Accuracies are fractions in [0, 1]. A baseline that was not measured is null here; the reference always has one. Fields that are not
known are left out of what is read.
"""

import json
import os
import uuid
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seal_runtime.errors import DataError, StoreError


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class AnswerRecord(_Record):
    """One question of one replicate (`rep`), answered without and with the adapter. Verdicts are booleans, or grades in [0, 1]."""

    rep: int
    question: str
    answer: str
    baseline_answer: str | None
    adapter_answer: str | None
    baseline_correct: bool | float | None
    adapter_correct: bool | float


class CompletionStats(_Record):
    """Means and sample standard deviations over replicates (0 for a single one)."""

    baseline_mean: float | None
    baseline_std: float | None
    adapter_mean: float
    adapter_std: float | None
    gain_mean: float | None


class Completion(_Record):
    """One self-edit. Some published files leave `questions` empty."""

    text: str
    stats: CompletionStats
    questions: tuple[AnswerRecord, ...]


class ArticleStats(_Record):
    """Means over the self-edits of an article, rounded to four places. One published file has nulls for some deviations."""

    baseline_accuracy: float | None
    adapter_mean_accuracy: float
    adapter_std_over_completions: float
    mean_adapter_std_within_completions: float | None
    mean_gain: float | None


class Article(_Record):
    """One passage and its self-edits, in the order in which they were sampled."""

    stats: ArticleStats
    title: str
    context: str
    completions: tuple[Completion, ...]
    prompt: str = ""


class OverallStats(_Record):
    """Means over articles, rounded to four places."""

    baseline_mean_accuracy: float | None
    baseline_std_of_article_means: float | None
    adapter_mean_accuracy: float
    adapter_std_of_article_means: float
    mean_adapter_std_over_completions: float
    mean_adapter_std_within_completions: float | None
    mean_gain: float | None


class LoraParams(_Record):
    """The inner loop's hyper-parameters."""

    rank: int
    alpha: int | float
    dropout: float
    epochs: int
    lr: float
    batch_size: int
    grad_accum_steps: int


class Results(_Record):
    """A whole file. Older published files say `model` where newer ones say `exp_name`."""

    overall: OverallStats
    timestamp: str = ""
    exp_name: str = Field(default="")
    dataset: str = ""
    split_newlines: bool = False
    n_articles: int
    k_completions: int
    eval_times: int
    lora_params: LoraParams
    articles: tuple[Article, ...]


def read_results(path: Path) -> Results:
    """Read a result file. Raises DataError that names the first field that is wrong."""
    value = _json(path)
    if not isinstance(value, dict) or "articles" not in value:
        raise DataError(f"{path}: expected a result file of query_server with `articles` and `overall`, got something else")
    try:
        return Results.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}, {place}: {first['msg']}; expected the form that query_server writes") from error


def write_results(path: Path, results: Results) -> None:
    """Write a result file as the reference does (JSON, two spaces, UTF-8); an existing one is replaced at once. Raises StoreError."""
    write_text(path, json.dumps(results.model_dump(), indent=2, ensure_ascii=False))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises StoreError."""
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with staging.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except (OSError, UnicodeEncodeError) as error:
        staging.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error}") from error


def _json(path: Path) -> object:
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: expected a result file, got: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected JSON in UTF-8, got: {error}") from error
    return value
