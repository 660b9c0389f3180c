"""The learning curve as inline SVG: held-out accuracy and reward over policy versions, with 95 % confidence bands.

The drawing is made for a given width in CSS pixels, so that a phone gets its own with text of the same size. Hover bands carry
their text in `data-tip`; the page's script shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from seal_runtime.report.markup import Markup, element, join
from seal_runtime.report.model import RunSummary, TableRow
from seal_runtime.report.verdict import format_percent

BAND_STDERRS = 1.96
TOP, BOTTOM, LEFT = 14.0, 30.0, 38.0
LABEL_SPACING = 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A mean in percent at a policy version; `stderr` None draws no band there."""

    version: int
    mean: float
    stderr: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of the chart; `style` is the class of the style sheet."""

    label: str
    style: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Maps versions and percentages to pixels."""

    width: float
    height: float
    right: float
    last_version: int
    top_percent: float

    def x(self, version: float) -> float:
        """Return the horizontal pixel of a version; a single version stands in the middle."""
        span = self.width - LEFT - self.right
        return LEFT + span * ((version + 0.5) / (self.last_version + 1))

    def y(self, percent: float) -> float:
        """Return the vertical pixel of a percentage, kept inside the frame."""
        share = min(max(percent / self.top_percent, 0.0), 1.0)
        return TOP + (self.height - TOP - BOTTOM) * (1.0 - share)


def curve_series(summary: RunSummary) -> tuple[Series, ...]:
    """Return the lines that have at least one point: held-out, reward, control."""
    reward = tuple(
        Point(version=r.policy_version, mean=100 * r.mean_reward, stderr=None if r.stderr_reward is None else 100 * r.stderr_reward)
        for r in summary.rounds
        if r.mean_reward is not None
    )
    lines = (
        Series(label=f"held-out accuracy ({summary.identity.split})", style="heldout", points=_points(summary, "own")),
        Series(label="mean reward", style="reward", points=reward),
        Series(label="control, held-out", style="control", points=_points(summary, "control")),
    )
    return tuple(series for series in lines if series.points)


def reference_rows(summary: RunSummary) -> tuple[TableRow, ...]:
    """Return the rows that are drawn as horizontal lines."""
    return tuple(row for row in summary.table if row.group in ("baseline", "ceiling") and row.mean_percent is not None)


def learning_curve(summary: RunSummary, *, width: float, height: float, label_margin: float) -> Markup:
    """Draw the chart; `label_margin` pixels on the right name the reference lines (0 leaves the names out)."""
    series, references = curve_series(summary), reference_rows(summary)
    frame = Frame(
        width=width,
        height=height,
        right=max(label_margin, 8.0),
        last_version=max([summary.identity.rounds, *(point.version for line in series for point in line.points)]),
        top_percent=_top_percent(series, references),
    )
    parts = [*_grid(frame), *_references(frame, references, named=label_margin > 0)]
    parts += [_band(frame, line) for line in series]
    parts += [_line(frame, line) for line in reversed(series)]
    parts += _hover_bands(frame, series)
    spoken = "Learning curve: " + "; ".join(f"{line.label} {line.points[0].mean:.1f} to {line.points[-1].mean:.1f} %" for line in series)
    return element("svg", join(parts), class_="chart", viewBox=f"0 0 {width:g} {height:g}", role="group", aria_label=spoken)


def _points(summary: RunSummary, group: str) -> tuple[Point, ...]:
    return tuple(
        Point(version=row.policy_version, mean=row.mean_percent, stderr=row.stderr_percent)
        for row in summary.table
        if row.group == group and row.mean_percent is not None
    )


def _top_percent(series: Sequence[Series], references: Sequence[TableRow]) -> float:
    highest = [point.mean + BAND_STDERRS * (point.stderr or 0.0) for line in series for point in line.points]
    highest += [row.mean_percent for row in references if row.mean_percent is not None]
    tens = -(-max(highest, default=100.0) // 10)
    return float(min(100.0, max(20.0, 10.0 * tens)))


def _grid(frame: Frame) -> list[Markup]:
    step = 20 if frame.top_percent > 50 else 10
    parts = []
    for percent in range(0, int(frame.top_percent) + 1, step):
        y = frame.y(percent)
        parts.append(element("line", class_="grid", x1=LEFT, x2=frame.width - frame.right, y1=y, y2=y))
        parts.append(element("text", f"{percent}", class_="tick", x=LEFT - 8, y=y + 4, text_anchor="end"))
    stride = -(-(frame.last_version + 1) // (10 if frame.width > 500 else 5))
    for version in range(0, frame.last_version + 1, stride):
        name = "untrained" if version == 0 else f"round {version}"
        parts.append(element("text", name, class_="tick", x=frame.x(version), y=frame.height - 8, text_anchor="middle"))
    return parts


def _references(frame: Frame, rows: Sequence[TableRow], *, named: bool) -> list[Markup]:
    parts, free_y = [], frame.height
    for row in sorted(rows, key=lambda row: row.mean_percent or 0.0):
        assert row.mean_percent is not None
        y = frame.y(row.mean_percent)
        parts.append(element("line", class_=f"reference {row.group}", x1=LEFT, x2=frame.width - frame.right, y1=y, y2=y))
        if named:
            # From the bottom up: a name goes beside its line, or as far above as the one below it needs.
            free_y = min(y + 4, free_y - LABEL_SPACING)
            label = f"{_short_label(row)} {row.mean_percent:.1f}"
            parts.append(element("text", label, class_="tick", x=frame.width - frame.right + 6, y=free_y))
    return parts


def _short_label(row: TableRow) -> str:
    return {"passage-only-equal-steps": "passage, equal steps", "scripted": "scripted (ceiling)"}.get(row.key, row.label)


def _band(frame: Frame, series: Series) -> Markup:
    points = [point for point in series.points if point.stderr is not None]
    if len(points) < 2:
        return Markup("")
    upper = [(frame.x(p.version), frame.y(p.mean + BAND_STDERRS * (p.stderr or 0.0))) for p in points]
    lower = [(frame.x(p.version), frame.y(p.mean - BAND_STDERRS * (p.stderr or 0.0))) for p in reversed(points)]
    return element("path", class_=f"band {series.style}", d=_path([*upper, *lower]) + "Z")


def _line(frame: Frame, series: Series) -> Markup:
    places = [(frame.x(point.version), frame.y(point.mean)) for point in series.points]
    dots = [element("circle", class_=f"dot {series.style}", cx=x, cy=y, r=4) for x, y in places]
    return join([element("path", class_=f"line {series.style}", d=_path(places)), *dots])


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _hover_bands(frame: Frame, series: Sequence[Series]) -> list[Markup]:
    step = (frame.width - LEFT - frame.right) / (frame.last_version + 1)
    bands = []
    for version in range(frame.last_version + 1):
        lines = ["untrained policy" if version == 0 else f"after round {version}"]
        lines += [f"{s.label}: {format_percent(p.mean, p.stderr)}" for s in series for p in s.points if p.version == version]
        if len(lines) == 1:
            continue
        x = frame.x(version)
        cursor = element("line", class_="cursor", x1=x, x2=x, y1=TOP, y2=frame.height - BOTTOM)
        area = element("rect", x=x - step / 2, y=TOP, width=step, height=frame.height - TOP - BOTTOM, fill="transparent")
        tip = "\n".join(lines)
        bands.append(element("g", cursor, area, class_="hover", tabindex="0", role="img", aria_label=tip, data_tip=tip))
    return bands
