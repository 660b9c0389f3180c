"""The HTML report: self-contained, complete, and deaf to whatever a model wrote."""

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from protocol.status import Alarm
from seal_runtime.errors import StoreError
from seal_runtime.report.curve import learning_curve
from seal_runtime.report.edits_table import edits_table
from seal_runtime.report.histogram import reward_bins
from seal_runtime.report.html import render_html, write_report
from seal_runtime.report.markup import element
from seal_runtime.report.model import RunSummary
from seal_runtime.report.sections import evenly_spaced
from seal_runtime.report.time_sections import time_section
from seal_runtime.store.run_directory import RunDirectory

Builder = Any
Summarise = Callable[[Builder], RunSummary]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \"' onmouseover=alert(3) </pre> $title ${style} \x00\u202e"
VOID_TAGS = {"meta", "br", "line", "rect", "circle", "path", "input"}


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
    assert not [attributes for _, attributes in page.tags if {"src", "onclick", "onload"} & set(attributes)]
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in page.tags)
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


def test_report_and_its_figures_are_written_whole_with_nothing_beside(complete_run: Builder, summary_of: Summarise, tmp_path: Path) -> None:
    paths = RunDirectory(tmp_path / "out")
    paths.root.mkdir()
    paths.report_html.write_text("old")
    summary = summary_of(complete_run)
    write_report(summary, paths)
    assert paths.report_html.read_text(encoding="utf-8") == render_html(summary)
    assert json.loads(paths.report_json.read_text(encoding="utf-8")) == json.loads(summary.to_json())
    assert sorted(entry.name for entry in paths.root.iterdir()) == ["report.html", "report.json"]


def test_a_report_that_cannot_be_written_is_a_clear_error(complete_run: Builder, summary_of: Summarise, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write the report"):
        write_report(summary_of(complete_run), RunDirectory(tmp_path / "missing"))


def test_links_lead_to_sections_and_ids_are_unique(complete_run: Builder, summary_of: Summarise) -> None:
    page = _Page(render_html(summary_of(complete_run)))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert len(links) == 11
    assert {str(link)[1:] for link in links} <= set(ids)
    named = [attributes["aria-labelledby"] for tag, attributes in page.tags if tag == "section"]
    assert len(named) == len(links)
    assert set(named) <= set(ids)


def test_what_a_keyboard_reaches_has_a_name_and_heads_are_never_empty(complete_run: Builder, summary_of: Summarise) -> None:
    text = render_html(summary_of(complete_run))
    page = _Page(text)
    reached = [(tag, attributes) for tag, attributes in page.tags if "tabindex" in attributes]
    assert {"g", "svg", "div", "pre"} == {tag for tag, _ in reached}
    assert all("aria-label" in attributes for tag, attributes in reached if tag != "pre")
    assert all("aria-label" in attributes for _, attributes in page.tags if attributes.get("role") in ("img", "group", "region"))
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    assert not re.search(r"<th[^>]*></th>", text)
    controls = re.findall(r"<label><span>[^<]+</span><(?:input|select)", text)
    assert len(controls) == len([tag for tag, _ in page.tags if tag in ("input", "select")]) == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(scheme: str) -> None:
    style = files("seal_runtime.report").joinpath("report.css").read_text(encoding="utf-8")
    block = style.split("@media" if scheme == "light" else 'data-theme="dark"]')[0 if scheme == "light" else 1].split("}")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for name in ("ink", "muted", "heldout", "good", "bad", "control"):
        for ground in ("bg", "card"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, f"{scheme}: {name} on {ground}"
    assert _contrast(colours["heldout"], colours["soft"]) >= 4.5
    assert _contrast(colours["control-line"], colours["card"]) >= 3.0


def test_every_edit_is_listed_with_what_the_filter_needs(complete_run: Builder, summary_of: Summarise) -> None:
    summary = summary_of(complete_run)
    rows = [attributes for tag, attributes in _Page(render_html(summary)).tags if tag == "tr" and "data-round" in attributes]
    assert [(row["data-round"], row["data-reward"]) for row in rows[:3]] == [("1", "0.250000"), ("1", "0.500000"), ("1", "0.000000")]
    assert len(rows) == len(summary.edits) == 8


def test_long_lists_of_edits_are_thinned_and_say_so(complete_run: Builder, summary_of: Summarise) -> None:
    (first, *_) = summary_of(complete_run).edits
    text = edits_table([dataclasses.replace(first, text="x" * 3000)] * 1500)
    assert text.count("data-round") == 1000
    assert "1,000 of 1,500 self-edits are listed" in text
    assert "(3000 characters)" in text


def test_alarms_stand_at_the_top_and_stay_text(complete_run: Builder, summary_of: Summarise) -> None:
    summary = summary_of(complete_run)
    assert 'class="alarms' not in render_html(dataclasses.replace(summary, alarms=()))
    alarm = Alarm(kind="slow_agent", subject="trainer-1", text="takes <b>3</b> times as long")
    text = render_html(dataclasses.replace(summary, alarms=(alarm,)))
    assert "<b>slow agent</b> · trainer-1: takes &lt;b&gt;3&lt;/b&gt; times as long" in text
    assert text.index('class="alarms') < text.index('class="tiles')
    assert "1 alarm, named at the top" in text


def test_time_is_told_by_agent_stage_and_round(complete_run: Builder, summary_of: Summarise) -> None:
    summary = summary_of(complete_run)
    text = " ".join(_Page(time_section(summary)).texts)
    assert "trainer-0" in text
    # Two proposals of 1 s and four edits of 3 s, one after the other: 4 edits in 14 s.
    assert f"{4 * 3600 / 14:,.0f}" in text
    assert "2 s" in text


def test_full_hashes_of_the_policies_are_there(complete_run: Builder, summary_of: Summarise) -> None:
    assert render_html(summary_of(complete_run)).count(f"<code>{'a' * 64}</code>") == 2


def _contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
