"""What the controller's benchmark found, as data and as text for people."""

import json
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from seal_runtime.bench.controller_load import ControllerLoad
from seal_runtime.bench.table import aligned

QUARTERS = 4
_KIB = 1024
# ru_maxrss is in bytes on macOS and in KiB elsewhere.
_RSS_UNIT = 1 if sys.platform == "darwin" else _KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerRun:
    """One run. `quarter_rates` are the jobs a second of each quarter of the jobs, as acknowledged.

    A dispatch is from a result sent to the next job received by the same agent, an acknowledgement from a result sent to its JobAck; with
    agents that do their jobs in no time both are mostly the queue of the other agents' messages. `controller_cpu_seconds` is of its
    whole life.
    """

    num_agents: int
    capacity: int
    job_seconds: float
    num_jobs: int
    seconds: float
    jobs_per_second: float
    quarter_rates: tuple[float, ...]
    dispatch_p50_milliseconds: float
    dispatch_p99_milliseconds: float
    ack_p50_milliseconds: float
    ack_p99_milliseconds: float
    controller_cpu_seconds: float
    controller_peak_rss_bytes: int
    ledger_bytes: int
    log_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerResult:
    """A tenth of the jobs and all of them, one after the other on the same machine."""

    num_processes: int
    curve: bool
    tenth: ControllerRun
    whole: ControllerRun

    def to_json(self) -> str:
        """Return indented JSON."""
        return json.dumps(asdict(self), indent=2)


def measured_run(
    load: ControllerLoad, seen: Sequence[Mapping[str, object]], usage: resource.struct_rusage, ledger_bytes: int, log_bytes: int
) -> ControllerRun:
    """Return a run's figures from what the processes of its agents saw (see `controller_agents.Observations`)."""
    acknowledged_at = sorted(_all(seen, "acknowledged_at"))
    started_at = min(first for part in seen if isinstance(first := part["first_assign_at"], float) and first)
    dispatch, acks = sorted(_all(seen, "dispatch_seconds")), sorted(_all(seen, "ack_seconds"))
    seconds = acknowledged_at[-1] - started_at
    return ControllerRun(
        num_agents=load.num_agents,
        capacity=load.capacity,
        job_seconds=load.job_seconds,
        num_jobs=len(acknowledged_at),
        seconds=seconds,
        jobs_per_second=len(acknowledged_at) / seconds,
        quarter_rates=quarter_rates(started_at, acknowledged_at),
        dispatch_p50_milliseconds=1000 * percentile(dispatch, 50),
        dispatch_p99_milliseconds=1000 * percentile(dispatch, 99),
        ack_p50_milliseconds=1000 * percentile(acks, 50),
        ack_p99_milliseconds=1000 * percentile(acks, 99),
        controller_cpu_seconds=usage.ru_utime + usage.ru_stime,
        controller_peak_rss_bytes=usage.ru_maxrss * _RSS_UNIT,
        ledger_bytes=ledger_bytes,
        log_bytes=log_bytes,
    )


def quarter_rates(started_at: float, acknowledged_at: Sequence[float]) -> tuple[float, ...]:
    """Return the jobs a second in each quarter of the jobs; times ascending."""
    rates, before = [], started_at
    for quarter in range(QUARTERS):
        first, end = (len(acknowledged_at) * part // QUARTERS for part in (quarter, quarter + 1))
        if end > first:
            rates.append((end - first) / max(acknowledged_at[end - 1] - before, 1e-9))
            before = acknowledged_at[end - 1]
    return tuple(rates)


def percentile(ascending: Sequence[float], percent: int) -> float:
    """Return the smallest value that is not exceeded by so many percent of the values; 0 of none."""
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)] if ascending else 0.0


def format_controller(result: ControllerResult) -> str:
    """Return the table and what it says about growth."""
    runs = (result.tenth, result.whole)
    rows = [("", *(f"{run.num_jobs:,} jobs" for run in runs))]
    rows += [(label, *(text(run) for run in runs)) for label, text in _LINES]
    ratio = result.whole.jobs_per_second / result.tenth.jobs_per_second
    whole = result.whole
    heading = (
        f"{whole.num_agents:,} agents (capacity {whole.capacity}, {whole.job_seconds:g} s a job) in {result.num_processes} process(es), "
        f"CURVE {'on' if result.curve else 'off'}, ledger on disk"
    )
    cpu_ratio = _cpu_a_job(result.whole) / _cpu_a_job(result.tenth)
    growth = f"{whole.num_jobs / result.tenth.num_jobs:.3g} times the jobs: {ratio:.2f} times the rate, {cpu_ratio:.2f} times the CPU a job"
    return "\n".join([heading, "", *aligned(rows), "", growth])


_LINES: tuple[tuple[str, Callable[[ControllerRun], str]], ...] = (
    ("jobs a second", lambda run: f"{run.jobs_per_second:,.0f}"),
    ("  in each quarter", lambda run: " ".join(f"{rate:,.0f}" for rate in run.quarter_rates)),
    ("dispatch p50 / p99, ms", lambda run: f"{run.dispatch_p50_milliseconds:,.1f} / {run.dispatch_p99_milliseconds:,.1f}"),
    ("acknowledgement p50 / p99, ms", lambda run: f"{run.ack_p50_milliseconds:,.1f} / {run.ack_p99_milliseconds:,.1f}"),
    ("controller CPU, % of one core", lambda run: f"{100 * run.controller_cpu_seconds / run.seconds:.0f}"),
    ("controller CPU a job, us", lambda run: f"{1e6 * _cpu_a_job(run):,.0f}"),
    ("controller peak memory, MiB", lambda run: f"{run.controller_peak_rss_bytes / _KIB**2:,.0f}"),
    ("ledger, MiB (bytes a job)", lambda run: f"{run.ledger_bytes / _KIB**2:,.1f} ({run.ledger_bytes / run.num_jobs:,.0f})"),
    ("controller log, MiB", lambda run: f"{run.log_bytes / _KIB**2:,.1f}"),
)


def _cpu_a_job(run: ControllerRun) -> float:
    return run.controller_cpu_seconds / run.num_jobs


def _all(seen: Sequence[Mapping[str, object]], name: str) -> list[float]:
    return [float(value) for part in seen if isinstance(values := part[name], list) for value in values]
