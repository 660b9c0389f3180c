"""The HTML report: self-contained, complete, and deaf to whatever a model wrote."""

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from seal_runtime.errors import StoreError
from seal_runtime.report.curve import learning_curve
from seal_runtime.report.histogram import reward_bins
from seal_runtime.report.html import render_html, write_report
from seal_runtime.report.markup import element
from seal_runtime.report.model import RunSummary
from seal_runtime.report.sections import evenly_spaced

Builder = Any
Summarise = Callable[[Builder], RunSummary]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \"' onmouseover=alert(3) </pre> $title ${style} \x00\u202e"
VOID_TAGS = {"meta", "br", "line", "rect", "circle", "path"}


class _Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID_TAGS:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_page_is_well_formed_and_fetches_nothing(complete_run: Builder, summary_of: Summarise) -> None:
    text = render_html(summary_of(complete_run))
    page = _Page(text)
    assert page.open == []
    assert not {"link", "img", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if {"src", "href", "onclick", "onload"} & set(attributes)]
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_page_shows_every_part(complete_run: Builder, summary_of: Summarise) -> None:
    summary = summary_of(complete_run)
    text = " ".join(_Page(render_html(summary)).texts)
    for row in summary.table:
        assert row.label in text
    for expected in (
        "79.2 ± 11.0",
        "edit 2 c0 1",
        "edit 1 c1 0",
        "reward 1.00",
        "Round 2",
        "trainer-0",
        "v2",
        "edits_per_context: 2",
        "seal-runtime",
    ):
        assert expected in text


def test_hostile_edits_stay_text(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", [HOSTILE])
    builder.grade("round-1", "c0", 0, 4)
    builder.set_aside("round-1/c1/propose")
    page = _Page(render_html(summary_of(builder)))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {"img"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    joined = "".join(page.texts)
    assert "<script>alert(1)</script>" in joined
    assert "$title ${style}" in joined
    assert "\x00" not in joined
    assert "\u202e" not in joined


def test_only_the_own_script_is_allowed_to_run(complete_run: Builder, summary_of: Summarise) -> None:
    text = render_html(summary_of(complete_run))
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    policy = re.search(r"script-src 'sha256-([^']+)'", text)
    assert script is not None
    assert policy is not None
    assert policy[1] == base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert "default-src 'none'" in text
    assert "innerHTML =" not in script[1]


def test_an_empty_run_has_a_page_too(builder: Builder, summary_of: Summarise) -> None:
    builder.meta["phase"] = "failed"
    text = render_html(summary_of(builder))
    assert "Nothing has been measured yet." in text
    assert "The run is not complete, 0 of 2 rounds are scored (phase failed)." in text


def test_curve_draws_means_and_bands_where_they_belong(complete_run: Builder, summary_of: Summarise) -> None:
    drawing = learning_curve(summary_of(complete_run), width=338, height=144, label_margin=0)
    # Inner width 338 - 38 - 8 = 292 for three versions; inner height 144 - 14 - 30 = 100 for 100 %.
    first_x = 38 + 292 / 6
    assert f'class="dot heldout" cx="{first_x:.2f}" cy="89"' in drawing
    assert 'class="band heldout"' in drawing
    assert "after round 2\nheld-out accuracy (test): 79.2 ± 11.0" in drawing


def test_histogram_counts_every_reward_once() -> None:
    assert reward_bins([0.0, 0.09, 0.1, 0.3, 0.7, 0.95, 1.0]) == [2, 1, 0, 1, 0, 0, 0, 1, 0, 2]


def test_long_lists_are_thinned_evenly() -> None:
    assert evenly_spaced(range(5), 12) == [0, 1, 2, 3, 4]
    assert evenly_spaced(range(100), 4) == [0, 33, 66, 99]


def test_attributes_and_text_are_escaped_by_default() -> None:
    assert element("td", "<b>&", class_='x" onclick="y') == '<td class="x&quot; onclick=&quot;y">&lt;b&gt;&amp;</td>'


def test_report_is_written_whole_and_leaves_nothing_beside_it(complete_run: Builder, summary_of: Summarise, tmp_path: Path) -> None:
    path = tmp_path / "out" / "report.html"
    path.parent.mkdir()
    path.write_text("old")
    summary = summary_of(complete_run)
    write_report(summary, path)
    assert path.read_text(encoding="utf-8") == render_html(summary)
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_is_a_clear_error(complete_run: Builder, summary_of: Summarise, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write the report"):
        write_report(summary_of(complete_run), tmp_path / "missing" / "report.html")
