"""Fixtures of the report's tests: runs made by hand."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seal_runtime.report.model import RunSummary
from seal_runtime.report.summary import summarise

sys.path.insert(0, str(Path(__file__).parent))
from run_builder import RunBuilder, make_complete


@pytest.fixture
def builder() -> RunBuilder:
    """Return an empty run."""
    return RunBuilder()


@pytest.fixture
def complete_run(builder: RunBuilder) -> RunBuilder:
    """Return a complete run."""
    make_complete(builder)
    return builder


@pytest.fixture
def summary_of(tmp_path: Path) -> Callable[[RunBuilder], RunSummary]:
    """Return a function that writes a run, reads it back and summarises it."""

    def build(run: RunBuilder) -> RunSummary:
        return summarise(run.load(tmp_path / "ledger.sqlite"))

    return build
