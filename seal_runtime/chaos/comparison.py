"""Is a disturbed run the same as the calm one (edits, adapters, scores, choices, policies)? And what did the disturbance cost?"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.jobs import AdaptResult, CreditResult, EvaluateResult, ProposeResult
from seal_runtime.chaos.checks import Check, check
from seal_runtime.chaos.ledger_audit import AuditRow, LedgerAudit, Place
from seal_runtime.config.topology import Topology
from seal_runtime.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the disturbance cost. `num_redone` counts attempts beyond one a job, as the agents' logs show them; seconds are of work."""

    seconds: float
    calm_seconds: float
    num_jobs: int
    num_redone: int
    num_redone_calm: int


def check_same(audit: LedgerAudit, calm: LedgerAudit) -> list[Check]:
    """Compare everything that a seed determines."""
    return [
        _compare("same self-edits", "proposals", "propose", audit, calm, _edits),
        _compare("same adapters", "inner loops", "adapt", audit, calm, _adapter),
        _compare("same scores", "scores", "evaluate", audit, calm, _score),
        _compare("same edits chosen", "rounds", "credit", audit, calm, _choice),
        _policies(audit, calm),
    ]


def measure_cost(run: Path, audit: LedgerAudit, calm_run: Path, calm: LedgerAudit) -> Cost:
    """Return what the disturbance cost in jobs done again and in seconds of work."""
    return Cost(
        seconds=float(audit.meta.get("active_seconds", "0")),
        calm_seconds=float(calm.meta.get("active_seconds", "0")),
        num_jobs=len(audit.rows),
        num_redone=max(0, jobs_started(run / "logs") - len(audit.rows)),
        num_redone_calm=max(0, jobs_started(calm_run / "logs") - len(calm.rows)),
    )


def jobs_started(logs: Path) -> int:
    """Count how often an agent began a job, in the logs of all agents. A line cut off by a kill counts when its event can be read."""
    started = 0
    for path in logs.glob("*.jsonl"):
        with path.open(encoding="utf-8", errors="replace") as stream:
            started += sum(1 for line in stream if '"job_started"' in line)
    return started


def refuse_incomparable(topology: Topology, calm: Topology) -> None:
    """Raise ConfigError when two topologies differ in more than names and limits: their runs need not agree."""
    ours, theirs = _what_matters(topology), _what_matters(calm)
    different = [key for key in ours if ours[key] != theirs.get(key)]
    if different:
        shown = ", ".join(f"{key} ({theirs.get(key)} there, {ours[key]} here)" for key in different[:3])
        raise ConfigError(f"--calm: expected a run of the same topology and seed, got one that differs in {shown}")


def _what_matters(topology: Topology) -> dict[str, str]:
    """Return the keys that decide what a run computes, by dotted name."""
    data = topology.model_dump(mode="json")
    for section in ("limits", "bus"):
        data.pop(section)
    for key in ("name", "dir", "keep_adapters"):
        data["run"].pop(key)
    for role in ("proposer", "trainer", "evaluator", "critic"):
        for key in ("count", "gpus", "threads"):
            data[role].pop(key)
    return {f"{name}.{key}": json.dumps(value, sort_keys=True) for name, section in data.items() for key, value in section.items()}


def _compare(name: str, what: str, stage: str, audit: LedgerAudit, calm: LedgerAudit, essence: Callable[[AuditRow], object]) -> Check:
    ours: dict[Place, object] = {row.place: essence(row) for row in audit.of_stage(stage)}
    theirs: dict[Place, object] = {row.place: essence(row) for row in calm.of_stage(stage)}
    problems = []
    for place in sorted(ours.keys() | theirs.keys()):
        if ours.get(place) != theirs.get(place):
            where = "/".join(str(part) for part in place if part not in ("", -1))
            problems.append(f"{where}: {_short(ours.get(place))} here, {_short(theirs.get(place))} in the calm run")
    return check(name, f"{len(theirs)} {what} of the calm run", problems)


def _policies(audit: LedgerAudit, calm: LedgerAudit) -> Check:
    versions = sorted(audit.policies.keys() | calm.policies.keys())
    problems = [
        f"v{version}: {audit.policies.get(version)} here, {calm.policies.get(version)} in the calm run"
        for version in versions
        if audit.policies.get(version) != calm.policies.get(version)
    ]
    return check("same policies", f"{len(calm.policies)} version(s) of the calm run, by hash", problems)


def _edits(row: AuditRow) -> object:
    return tuple((edit.text, edit.token_ids) for edit in row.result.edits) if isinstance(row.result, ProposeResult) else None


def _adapter(row: AuditRow) -> object:
    return row.result.adapter.sha256 if isinstance(row.result, AdaptResult) else None


def _score(row: AuditRow) -> object:
    answers = tuple(answer.text for answer in row.result.answers) if isinstance(row.result, EvaluateResult) else ()
    return row.score, answers


def _choice(row: AuditRow) -> object:
    if not isinstance(row.result, CreditResult):
        return None
    return tuple(sorted((credit.context_id, credit.edit_index, credit.reward, credit.weight) for credit in row.result.credits))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
