"""What a chaos run showed, for people and for machines."""

import dataclasses
import json
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seal_runtime.chaos.checks import Check
from seal_runtime.chaos.comparison import Cost
from seal_runtime.chaos.conductor import ChaosRun


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosReport:
    """The whole outcome. `not_done` names disturbances that were not made, and why; `changes` what chaos changed in the topology."""

    run_dir: str
    calm_dir: str
    seed: int
    num_asked: int
    run: ChaosRun
    cost: Cost
    checks: tuple[Check, ...]
    not_done: tuple[str, ...]
    changes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Say whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> str:
        """Return everything as JSON."""
        data = dataclasses.asdict(self)
        data["passed"] = self.passed
        for held, check in zip(data["checks"], self.checks, strict=True):
            held["passed"] = check.passed
        return json.dumps(data, indent=2)


def render_report(report: ChaosReport) -> RenderableType:
    """Return the report as a picture. All text is taken literally, never as markup."""
    parts: list[RenderableType] = [_checks(report.checks), _delivered(report), Text(_cost(report.cost))]
    parts += [Text(f"not done: {text}", style="yellow") for text in report.not_done]
    parts += [Text(f"! {problem}", style="yellow") for problem in report.run.problems]
    parts += [Text(f"changed for this run: {text}", style="dim") for text in report.changes]
    num_failed = sum(not check.passed for check in report.checks)
    verdict = "all checks passed" if report.passed else f"{num_failed} of {len(report.checks)} checks failed"
    parts.append(Text(verdict, style="bold green" if report.passed else "bold red"))
    return Group(*parts)


def _checks(checks: tuple[Check, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("looked at", ratio=1)
    for check in checks:
        mark = Text("pass", style="green") if check.passed else Text(f"FAIL {check.num_problems}", style="bold red")
        table.add_row(Text(check.name), mark, Text(check.evidence))
        for problem in check.problems:
            table.add_row("", "", Text(problem, style="red"))
    return table


def _delivered(report: ChaosReport) -> Text:
    run = report.run
    total = sum(run.delivered.values())
    kinds = ", ".join(f"{number} {kind}" for kind, number in run.delivered.items()) or "none"
    targets = ", ".join(f"{target} {number}" for target, number in run.targets.items())
    text = f"\n{total} of {report.num_asked} disturbances delivered: {kinds}\nat: {targets or 'nobody'}"
    if run.num_undelivered:
        text += f"\nthe run ended before {run.num_undelivered} could be"
    return Text(text + f"\nresumed {run.num_resumes} time(s)")


def _cost(cost: Cost) -> str:
    more = cost.seconds - cost.calm_seconds
    return (
        f"cost: {cost.num_redone} of {cost.num_jobs} jobs begun again ({cost.num_redone_calm} in the calm run), "
        f"{cost.seconds:.0f} s of work instead of {cost.calm_seconds:.0f} s ({more:+.0f} s)"
    )
