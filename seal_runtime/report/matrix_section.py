"""A matrix of scores as an HTML table whose cells are the darker the higher the score. Any `Matrix` of the summary is drawn so."""

from collections.abc import Sequence

from seal_runtime.report.markup import Markup, element, join
from seal_runtime.report.model import Matrix, MatrixRow

MAX_TINT_PERCENT = 45.0
"""The share of colour in a full cell: below this the text stays readable in light and dark."""


def matrices_section(matrices: Sequence[Matrix]) -> Markup:
    """Return all matrices, one below the other."""
    return join([_matrix(matrix) for matrix in matrices])


def _matrix(matrix: Matrix) -> Markup:
    heads = [element("th", matrix.corner, scope="col")] + [element("th", name, scope="col", class_="number") for name in matrix.columns]
    body = [_row(row, matrix.columns) for row in matrix.rows]
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *body), class_="matrix")
    notes = [element("p", " ".join(matrix.notes), class_="muted")] if matrix.notes else []
    return join(
        [element("h3", matrix.title), element("div", table, class_="scroll", tabindex="0", role="region", aria_label=matrix.title), *notes]
    )


def _row(row: MatrixRow, columns: Sequence[str]) -> Markup:
    cells = [_cell(row.label, column, percent) for column, percent in zip(columns, row.cells, strict=True)]
    return element("tr", element("th", row.label, scope="row"), *cells)


def _cell(row: str, column: str, percent: float | None) -> Markup:
    if percent is None:
        return element("td", "—", class_="number")
    tint = f"--tint:{MAX_TINT_PERCENT * min(max(percent, 0.0), 100.0) / 100:.1f}%"
    return element("td", f"{percent:.1f}", class_="number cell hover", style=tint, data_tip=f"{row}\n{column}: {percent:.1f} %")
