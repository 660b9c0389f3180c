"""Continued pretraining and continual self-edits in table, matrix, verdict and page."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seal_runtime.config.topology import Topology
from seal_runtime.report.continual import planned_sequences
from seal_runtime.report.continual_table import render_continual
from seal_runtime.report.html import render_html
from seal_runtime.report.model import RunSummary
from seal_runtime.report.summary import summarise
from seal_runtime.report.verdict import verdict

Builder = Any


def topology_of(builder: Builder) -> Topology:
    evaluation = {
        "num_contexts": 0,
        "retention": False,
        "cpt": {"num_contexts": 3, "edits_per_context": 2},
        "continual": {"num_sequences": 1, "sequence_length": 3},
    }
    topology: Topology = builder.topology(run={"rounds": 0}, evaluation=evaluation)
    return topology


def learn_one_after_the_other(builder: Builder) -> list[str]:
    """Write one sequence: nothing is known before, all at once, one of four is forgotten with each later edit; the second is broken."""
    (planned,) = planned_sequences(topology_of(builder), builder.task.instances("test"))
    ids = [instance.instance_id for instance in planned.sequences[0]]
    for row in range(4):
        if row:
            builder.propose("continual-v0", ids[row - 1], ["BROKEN" if row == 2 else "edit"])
        for column, context_id in enumerate(ids):
            right = 4 - (row - 1 - column) if row > column and column != 1 else 0
            builder.grade("continual-v0", context_id, 0, right, replicate=row, adapt=row == column + 1 and row != 2)
    return ids


def learn_together(builder: Builder) -> None:
    """Write two edits for each of three contexts, of which one cannot be parsed and one context is lost."""
    for context_id, texts in (("h0", ["a", "BROKEN"]), ("h1", ["c", "d"])):
        builder.propose("cpt-v0", context_id, texts)
    builder.set_aside("cpt-v0/h2/propose")
    for context_id, base, right in (("h0", 0, 2), ("h1", 1, 3), ("h2", 0, 0)):
        builder.grade("cpt-no-update", context_id, 0, base, adapt=False)
        if context_id != "h2":
            builder.grade("cpt-v0", context_id, 0, right, adapt=False)


@pytest.fixture
def summary(builder: Builder, tmp_path: Path) -> RunSummary:
    learn_together(builder)
    learn_one_after_the_other(builder)
    return summarise(builder.load(tmp_path / "ledger.sqlite", topology_of(builder)))


def text_of(summary: RunSummary) -> str:
    console = Console(width=80, record=True, file=(Path("/dev/null").open("w")), highlight=False)  # noqa: SIM115
    console.print(render_continual(summary))
    return console.export_text()


def test_one_adapter_for_all_contexts_has_rows_that_count_contexts(summary: RunSummary) -> None:
    own, base = summary.row("cpt-v0"), summary.row("cpt-no-update")
    assert own is not None
    assert base is not None
    assert (own.label, own.mean_percent, own.num_contexts) == ("CPT, own edits, untrained policy", 62.5, 2)
    assert (own.num_edits, own.num_unparsed, own.num_invalid, own.num_missing) == (3, 1, 1, 0)
    assert own.note == "1 unparsed left out; 1 contexts set aside, not in the mean"
    assert base.mean_percent == pytest.approx(100 / 12)
    assert "One adapter for 2 passages: 62.5 ± 12.5 % with edits of the untrained policy, 8.3 ± 8.3 % without." in verdict(summary)


def test_a_set_aside_adapter_leaves_all_contexts_unmeasured(builder: Builder, tmp_path: Path) -> None:
    builder.propose("cpt-v0", "h0", ["a", "b"])
    builder.set_aside("cpt-v0/r0/adapt")
    row = summarise(builder.load(tmp_path / "ledger.sqlite", topology_of(builder))).row("cpt-v0")
    assert row is not None
    assert (row.mean_percent, row.num_contexts, row.num_invalid) == (None, 0, 3)


def test_the_matrix_is_that_of_the_ledger_and_forgetting_leaves_the_last_passage_out(summary: RunSummary) -> None:
    (continual,) = summary.continual
    assert [[cell.mean for cell in row] for row in continual.figures.cells] == [
        [0.0, 0.0, 0.0],
        [1.0, 0.0, 0.0],
        [0.75, 0.0, 0.0],
        [0.5, 0.0, 1.0],
    ]
    assert continual.figures.forgetting.mean == 0.25
    assert continual.num_unparsed == 1
    (matrix,) = summary.matrices
    assert matrix.columns == ("passage 1", "passage 2", "passage 3", "seen", "to come")
    assert matrix.rows[2].cells == (75.0, 0.0, 0.0, 37.5, 0.0)
    assert matrix.rows[2].marked == 1
    row = summary.row("continual-v0/after")
    assert row is not None
    assert (row.mean_percent, row.num_contexts, row.note) == (50.0, 1, "n counts sequences")


def test_the_terminal_shows_every_cell_within_80_columns(summary: RunSummary) -> None:
    text = text_of(summary)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "edit 3 50.0 0.0 100.0" in " ".join(text.split())
    assert "Forgetting, from right after a passage's own edit to the end: 25.0 points" in text.replace("\n", " ")
    assert "1 edits could not be parsed" in text.replace("\n", " ")


def test_a_sequence_that_ended_early_has_missing_cells_and_no_zeros(builder: Builder, tmp_path: Path) -> None:
    (planned,) = planned_sequences(topology_of(builder), builder.task.instances("test"))
    ids = [instance.instance_id for instance in planned.sequences[0]]
    for context_id in ids:
        builder.grade("continual-v0", context_id, 0, 2, adapt=False)
    builder.set_aside(f"continual-v0/{ids[0]}/propose")
    (continual,) = summarise(builder.load(tmp_path / "ledger.sqlite", topology_of(builder))).continual
    assert continual.figures.cells[1][0].mean is None
    assert continual.figures.num_missing == 9
    assert continual.figures.forgetting.mean is None


def test_the_page_marks_what_was_just_learned(summary: RunSummary) -> None:
    page = render_html(summary)
    assert 'id="forgetting"' in page
    assert page.count("marked") >= 3
    assert "passage 2: 0.0 %" in page
    data = summary.to_dict()
    assert data["continual"][0]["figures"]["forgetting"]["mean"] == 0.25
