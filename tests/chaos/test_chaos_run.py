"""A real run, real processes, a real bus: all kinds of disturbance, and every check holds."""

import json
from pathlib import Path
from typing import Any

from chaos_runs import NUM_INJECTIONS, refusal

CHECKS = {
    "run finished", "nothing lost", "nothing twice", "receipts valid", "every reward once", "policies in line", "seeds as derived",
    "no process left", "no file left", "adapters as configured", "same self-edits", "same adapters", "same scores",
    "same edits chosen", "same policies",
}  # fmt: skip


def test_a_disturbed_run_passes_every_check(finished: dict[str, Any]) -> None:
    assert {check["name"] for check in finished["checks"]} == CHECKS
    failed = {check["name"]: check["problems"] for check in finished["checks"] if not check["passed"]}
    assert not failed, finished["stderr"]
    assert (finished["exit_code"], finished["passed"]) == (0, True)


def test_every_kind_was_delivered_and_is_in_the_journal(finished: dict[str, Any]) -> None:
    run = finished["run"]
    assert {kind.partition("-")[0] for kind in run["delivered"]} == {"kill", "stop", "term", "drop", "delay", "power"}
    assert sum(run["delivered"].values()) >= 10
    assert sum(run["delivered"].values()) + run["num_undelivered"] == NUM_INJECTIONS
    lines = [json.loads(line) for line in (Path(finished["run_dir"]) / "chaos.jsonl").read_text().splitlines()]
    delivered = [line for line in lines if line["event"] == "delivered"]
    assert len(delivered) == sum(run["delivered"].values())
    assert all({"at", "kind", "target", "pid", "jobs_done"} <= line.keys() for line in delivered)
    assert run["num_resumes"] >= 1


def test_what_was_not_done_and_what_was_changed_is_said(finished: dict[str, Any]) -> None:
    assert any("full disk" in text for text in finished["not_done"])
    assert any("limits.max_restarts" in text for text in finished["changes"])


def test_a_calm_run_of_another_seed_is_refused(finished: dict[str, Any], workplace: Path) -> None:
    assert "run.seed" in refusal("tiny.yaml", "--set", "run.seed=9", "--calm", finished["calm_dir"], cwd=workplace)
    assert not (workplace / "runs" / "tiny-chaos-2").exists()


def test_what_cannot_be_made_here_is_refused(workplace: Path) -> None:
    assert "--full-disk MOUNTPOINT" in refusal("tiny.yaml", "--kinds", "kill,disk", cwd=workplace)
    assert "expected a TCP endpoint" in refusal("tiny.yaml", "--set", f"bus.bind=ipc://{workplace}/bus", cwd=workplace)
    assert "kill, stop, term, drop, delay, power" in refusal("tiny.yaml", "--kinds", "kill,fire", cwd=workplace)
