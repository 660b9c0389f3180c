"""The controller's benchmark: a small run for real, and its figures by hand."""

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from seal_runtime.bench.controller import SPARE_FILES, allow_open_files, run_controller_bench
from seal_runtime.bench.controller_load import JOBS_PER_CONTEXT, ROUNDS, ControllerLoad
from seal_runtime.bench.controller_results import format_controller, percentile, quarter_rates
from seal_runtime.errors import ConfigError, LaunchError
from seal_runtime.ledger import LedgerReader

SMALL = ControllerLoad(num_agents=7, num_jobs=300, capacity=2, job_seconds=0.0, curve=True)


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50.0, 99.0, 100.0)
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0
    assert percentile([], 50) == 0.0


def test_rates_of_quarters_are_of_equal_numbers_of_jobs() -> None:
    # Two jobs a quarter: in 1 s, 2 s, 0.5 s and 4 s.
    assert quarter_rates(10.0, [10.5, 11.0, 12.0, 13.0, 13.1, 13.5, 17.0, 17.5]) == (2.0, 1.0, 4.0, 0.5)
    assert quarter_rates(0.0, [1.0]) == (1.0,)


def test_the_load_is_about_what_was_asked_for_and_every_role_has_an_agent() -> None:
    load = replace(SMALL, num_agents=1000, num_jobs=100_000)
    assert abs(load.total_jobs - 100_000) < ROUNDS * JOBS_PER_CONTEXT
    roles = [role for role, _ in load.agents()]
    assert len(roles) == len({name for _, name in load.agents()}) == 1000
    assert [roles.count(role) for role in ("proposer", "trainer", "evaluator", "critic")] == [99, 451, 449, 1]
    assert {role for role, _ in replace(load, num_agents=4).agents()} == {"proposer", "trainer", "evaluator", "critic"}


def test_a_small_bench_runs_to_its_end_and_counts_every_job(tmp_path: Path) -> None:
    said: list[str] = []
    result = run_controller_bench(SMALL, num_processes=2, folder=tmp_path, tell=said.append)
    whole = result.whole
    with LedgerReader(tmp_path / "jobs-300" / "ledger.sqlite") as reader:
        assert reader.meta()["phase"] == "done"
        assert sum(reader.counts().values()) == whole.num_jobs == SMALL.total_jobs
    assert result.tenth.num_jobs == replace(SMALL, num_jobs=30).total_jobs
    assert 0 < whole.dispatch_p50_milliseconds <= whole.dispatch_p99_milliseconds
    assert 0 < whole.ack_p50_milliseconds <= whole.ack_p99_milliseconds
    assert whole.controller_cpu_seconds > 0
    assert whole.controller_peak_rss_bytes > 10 << 20
    assert whole.ledger_bytes > 100 * whole.num_jobs
    text = format_controller(result)
    assert "CURVE on" in text
    assert f"{whole.num_jobs:,} jobs" in text
    assert said[0].startswith(f"{result.tenth.num_jobs:,} jobs, 7 agents in 2 process(es)")


def test_too_many_agents_for_the_open_files_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (100, 4096))
    with pytest.raises(ConfigError, match="the hard limit is 4096"):
        allow_open_files(4097)
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: raised.append(limits))
    allow_open_files(50)
    assert raised == []
    allow_open_files(1000 + SPARE_FILES)
    assert raised == [(1000 + SPARE_FILES, 4096)]


def test_a_controller_that_fails_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobs-30").mkdir()
    (tmp_path / "jobs-30" / "ledger.sqlite").write_text("not a database")
    with pytest.raises(LaunchError, match=r"seal_runtime.controller` ended with exit code 2"):
        run_controller_bench(SMALL, num_processes=1, folder=tmp_path, tell=lambda text: None)
