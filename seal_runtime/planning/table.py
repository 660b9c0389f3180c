"""A plan on the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table

from seal_runtime.planning.memory import GIB, ProcessMemory
from seal_runtime.planning.outcome import Comparison, FleetOutcome, PlanOutcome

_WORDS = {"proposer": "write the self-edits of a context", "trainer": "train an adapter", "evaluator": "examine an adapter"}


def print_plan(plan: PlanOutcome, console: Console) -> None:
    """Print heading, service times, memory, fleets, and what the plan rests on."""
    on = f"on {plan.gpu}" if plan.gpu is not None else "without GPUs"
    console.print(f"[bold]{plan.topology}[/bold]: {plan.model} {on}", highlight=False)
    console.print(
        f"{plan.sequences_an_edit:.1f} sequences and {plan.tokens_an_edit:.0f} tokens an edit ({plan.workload})\n", highlight=False
    )
    console.print(_costs(plan))
    for process in plan.memory:
        console.print(_memory(process))
        if process.advice:
            console.print(f"does not fit: {process.advice}", style="red", highlight=False)
    console.print(_fleets(plan))
    for outcome in plan.fleets:
        console.print(f"[bold]{_size(outcome, plan.unit)}[/bold]: {outcome.bottleneck}{_failures(outcome)}", highlight=False)
    if plan.comparison is not None:
        console.print(f"\n{_compared(plan.comparison)}", highlight=False)
    console.print("\n[bold]Predicted, not measured.[/bold] It rests on:", highlight=False)
    for line in plan.assumptions:
        console.print(f"- {line}", highlight=False)


def _costs(plan: PlanOutcome) -> Table:
    table = _table("Service times", "", "a full engine, s", "a step, ms", "and a row, us", "from")
    for role, cost in plan.costs.items():
        base = cost.fixed_seconds + cost.floor_seconds
        words = f"{base * 1e3:.3g}" if cost.fixed_seconds or not cost.floor_seconds else f"{base * 1e3:.3g} at least"
        table.add_row(_WORDS[role], f"{plan.seconds_full[role]:.3g}", words, f"{cost.unit_seconds * 1e6:.3g}", cost.source)
    return table


def _memory(process: ProcessMemory) -> Table:
    table = _table(f"Memory on a GPU: {process.role}", "", "GiB", "")
    for part in process.parts:
        table.add_row(part.name, f"{part.num_bytes / GIB:.2f}", part.note)
    table.add_row("all", f"{process.used_bytes / GIB:.2f}", f"of {process.available_bytes / GIB:.0f}", style="bold")
    return table


def _fleets(plan: PlanOutcome) -> Table:
    table = _table("Simulated", plan.unit, "split", "edits/h", "inner loops/h", "a round", "busy, by role", "controller", "deaths a day")
    for outcome in plan.fleets:
        busy = " ".join(f"{100 * use.busy_share:.0f} %" for use in outcome.roles)
        table.add_row(
            f"{outcome.num_gpus:,}",
            outcome.split + (" (as written)" if outcome.as_written else ""),
            f"{outcome.edits_per_hour:,.0f}",
            f"{outcome.inner_loops_per_hour:,.0f}",
            _duration(outcome.round_seconds),
            busy,
            f"{100 * outcome.controller_share:.1f} %",
            f"{outcome.deaths_per_day:.2g}",
        )
    return table


def _size(outcome: FleetOutcome, unit: str) -> str:
    return f"{outcome.num_gpus:,} {unit}{', as written' if outcome.as_written else ''}"


def _failures(outcome: FleetOutcome) -> str:
    cost = outcome.failures
    if cost is None or not cost.num_deaths:
        return ""
    return (
        f" {cost.num_deaths} of the processes died in {_duration(cost.seconds)}: {100 * cost.extra_share:+.1f} % time, "
        f"{cost.num_scored:,} self-edits scored all the same, {cost.num_lost} set aside."
    )


def _compared(comparison: Comparison) -> str:
    ratio = comparison.predicted_edits_per_hour / comparison.measured_edits_per_hour
    busy = ", ".join(
        f"{role} {100 * share:.0f} % ({100 * comparison.predicted_busy[role]:.0f} %)" for role, share in comparison.measured_busy.items()
    )
    return (
        f"[bold]Against reality[/bold]: run {comparison.run} scored {comparison.measured_edits_per_hour:,.0f} self-edits an hour, "
        f"its simulation {comparison.predicted_edits_per_hour:,.0f} ({ratio:.2f} times). Busy, measured (simulated): {busy}"
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False)
    for index, column in enumerate(columns):
        is_text = index == 0 or column in ("split", "from", "")
        table.add_column(column, justify="left" if is_text else "right", overflow="fold")
    return table


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
