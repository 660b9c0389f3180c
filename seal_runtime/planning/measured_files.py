"""Service times from the files that `seal-runtime bench inner-loop --json` and `bench generation --json` print."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.jobs import Role
from seal_runtime.errors import DataError
from seal_runtime.planning.model_facts import architecture_key
from seal_runtime.planning.step_cost import Point, StepCost, through_points

_BATCHED = "batched, K = "


def measured_costs(path: Path, model: str, engines: Mapping[Role, str]) -> dict[Role, StepCost]:
    """Return the costs that a file holds, by role. `engines` are the topology's.

    Raises DataError for a file that is not such a result, that measured another model, or none of the engines.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected the JSON of `seal-runtime bench inner-loop --json` or `generation --json`, got: {error}"
        ) from error
    if not isinstance(result, dict) or not ({"arms", "answering"} & result.keys()):
        raise DataError(f"{path}: expected the JSON of `seal-runtime bench inner-loop --json` or `generation --json`, got other keys")
    if architecture_key(str(result.get("model"))) != architecture_key(model):
        raise DataError(f"{path}: expected figures of {model}, got those of {result.get('model')}; measure that model, or plan this one")
    try:
        costs = _inner_loop(path, result) if "arms" in result else _generation(path, result, engines)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise DataError(f"{path}: expected the figures of the benchmarks of this release, got none at {error}; measure anew") from error
    if not costs:
        raise DataError(
            f"{path}: expected figures of the batched trainer or of {', '.join(sorted(set(engines.values())))}, got none of them"
        )
    return costs


def _inner_loop(path: Path, result: dict[str, Any]) -> dict[Role, StepCost]:
    """Return the trainer's cost: with K adapters at work K times the time of one edit passes in the steps of one edit."""
    rows = result["tokens_per_edit"] * result["epochs"] / result["steps_per_edit"]
    points: list[Point] = [
        (arm["num_slots"] * rows, arm["train_seconds"] * arm["num_slots"] / result["steps_per_edit"])
        for arm in result["arms"]
        if arm["name"].startswith(_BATCHED)
    ]
    return {"trainer": through_points(points, f"measured: {path.name}, on {result['device']}")} if points else {}


def _generation(path: Path, result: dict[str, Any], engines: Mapping[Role, str]) -> dict[Role, StepCost]:
    """Return the evaluator's and the proposer's costs, where the file has their engines."""
    source = f"measured: {path.name}, on {result['device']}"
    questions = result["num_questions"] / result["num_edits"]
    costs: dict[Role, StepCost] = {}
    answering: list[Point] = [
        (arm["num_adapters"] * questions, arm["num_adapters"] * arm["seconds_an_edit"] / _steps(arm, questions))
        for arm in result["answering"]
        if arm["engine"] == engines["evaluator"]
    ]
    if answering:
        costs["evaluator"] = through_points(answering, source)
    sampling: list[Point] = [
        (arm["num_edits"], arm["num_edits"] / arm["tokens_per_second"])
        for arm in result["sampling"]
        if arm["engine"] == engines["proposer"]
    ]
    if sampling:
        costs["proposer"] = through_points(sampling, source)
    return costs


def _steps(arm: dict[str, Any], questions: float) -> float:
    """Return the mean tokens of an answer, and so the steps of a wave of answers."""
    return float(arm["tokens_per_second"] * arm["seconds_an_edit"] / questions)
