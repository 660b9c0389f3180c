"""A matrix of scores as an HTML table whose cells are the darker the higher the score. Any `Matrix` of the summary is drawn so."""

from collections.abc import Sequence

from seal_runtime.report.markup import Markup, element, join
from seal_runtime.report.model import Matrix, MatrixRow

MAX_TINT_PERCENT = 45.0
"""The share of colour in a full cell: below this the text stays readable in light and dark."""
MAX_ROOMY_COLUMNS = 4
"""A matrix with more columns is set narrower."""


def matrices_section(matrices: Sequence[Matrix]) -> Markup:
    """Return all matrices, one below the other."""
    return join([_matrix(matrix) for matrix in matrices])


def _matrix(matrix: Matrix) -> Markup:
    heads = [element("th", matrix.corner, scope="col")] + [element("th", name, scope="col", class_="number") for name in matrix.columns]
    body = [_row(row, matrix.columns) for row in matrix.rows]
    style = "matrix dense" if len(matrix.columns) > MAX_ROOMY_COLUMNS else "matrix"
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *body), class_=style)
    notes = [element("p", " ".join(matrix.notes), class_="muted")] if matrix.notes else []
    return join(
        [element("h3", matrix.title), element("div", table, class_="scroll", tabindex="0", role="region", aria_label=matrix.title), *notes]
    )


def _row(row: MatrixRow, columns: Sequence[str]) -> Markup:
    stderrs = row.stderrs or (None,) * len(row.cells)
    cells = [
        _cell(row.label, column, percent, stderr, is_marked=index == row.marked)
        for index, (column, percent, stderr) in enumerate(zip(columns, row.cells, stderrs, strict=True))
    ]
    return element("tr", element("th", row.label, scope="row"), *cells)


def _cell(row: str, column: str, percent: float | None, stderr: float | None, *, is_marked: bool) -> Markup:
    if percent is None:
        return element("td", "—", class_="number")
    tint = f"--tint:{MAX_TINT_PERCENT * min(max(percent, 0.0), 100.0) / 100:.1f}%"
    error = "" if stderr is None else f" ± {stderr:.1f}"
    style = "number cell hover marked" if is_marked else "number cell hover"
    small = [element("small", f"±{stderr:.1f}")] if stderr is not None else []
    return element("td", f"{percent:.1f}", *small, class_=style, style=tint, data_tip=f"{row}\n{column}: {percent:.1f}{error} %")
