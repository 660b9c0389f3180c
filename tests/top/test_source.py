"""Where the live view's readings come from when no controller answers."""

from dataclasses import replace
from pathlib import Path

import pytest
from statuses import STATUS

from seal_runtime.top import source
from seal_runtime.top.source import BROKEN_OFF, OVER, RunSource


@pytest.mark.parametrize(("phase", "note", "num_reads"), [("done", OVER, 1), ("interrupted", BROKEN_OFF, 3)])
def test_the_ledger_of_a_run_that_is_over_is_read_once(phase: str, note: str, num_reads: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(source, "LEDGER_EVERY_SECONDS", 0.0)
    reads = []

    def from_ledger():
        reads.append(1)
        return replace(STATUS, phase=phase)

    run = RunSource(tmp_path / "connection.json", from_ledger)
    readings = [run.read() for _ in range(3)]
    run.close()
    assert [reading.note for reading in readings] == [note] * 3
    assert len(reads) == num_reads
