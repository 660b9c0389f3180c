"""The report in a real browser: its script runs under its own policy, filters work, light, dark, phone and paper look as meant.

Without a Chromium on the machine the same pages are checked as far as a parser can: what the script and the style sheet rely on.
"""

import json
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seal_runtime.errors import LaunchError
from seal_runtime.report.browser import document, find_browser, print_pdf, screenshot
from seal_runtime.report.html import render_html
from seal_runtime.report.model import RunSummary
from seal_runtime.report.screenshots import PICTURES, make_pictures

Builder = Any
Summarise = Callable[[Builder], RunSummary]
BROWSER = find_browser()
PROBE = """
<script>
const answer = (() => { %s })();
const pre = document.createElement("pre");
pre.id = "probe";
pre.textContent = JSON.stringify(answer);
document.body.append(pre);
</script></body>"""


@pytest.fixture
def page(complete_run: Builder, summary_of: Summarise, tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(render_html(summary_of(complete_run)), encoding="utf-8")
    return path


def _ask(page: Path, script: str, **how: Any) -> Any:
    """Run a script on a copy of the page without its policy, which forbids every script but its own, and return what it returns."""
    assert BROWSER is not None
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    copy = page.with_name("probed.html")
    copy.write_text(text.replace("</body>", PROBE % script), encoding="utf-8")
    found = re.search(r'<pre id="probe">(.*?)</pre>', document(BROWSER, copy, **how), re.DOTALL)
    assert found is not None
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def test_the_pages_own_script_runs_under_its_policy(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert 'id="edit-filters" hidden' in text
    if BROWSER is None:
        return
    shown = document(BROWSER, page)
    assert re.search(r'<div class="filters" id="edit-filters">', shown)
    assert "8 self-edits, 8 shown" in shown


def test_edits_are_filtered_by_round_reward_and_text_and_sorted(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in ("edit-round", "edit-from", "edit-to", "edit-text", "edit-order", "edit-list", "edit-count", "edit-more"):
        assert text.count(f'id="{name}"') == 1
    if BROWSER is None:
        return
    script = """
    const rewards = () => [...document.querySelectorAll("#edit-list tbody tr")].map((row) => Number(row.dataset.reward));
    const set = (name, value) => {
      const control = document.getElementById(`edit-${name}`);
      control.value = value;
      control.dispatchEvent(new Event("input"));
    };
    const answers = {};
    set("order", "high"); answers.high = rewards();
    set("round", "1"); answers.round = rewards();
    set("from", "0.5"); answers.from = rewards();
    set("round", ""); set("from", "0"); set("text", "edit C1 2"); answers.text = rewards();
    set("text", "nothing like it"); answers.none = rewards();
    answers.count = document.getElementById("edit-count").textContent;
    return answers;
    """
    answers = _ask(page, script)
    assert answers["high"] == [1.0, 1.0, 0.75, 0.75, 0.5, 0.5, 0.25, 0.0]
    assert answers["round"] == [0.75, 0.5, 0.25, 0.0]
    assert answers["from"] == [0.75, 0.5]
    assert answers["text"] == [1.0, 0.5]
    assert answers["none"] == []
    assert answers["count"] == "0 of 8 self-edits, 0 shown"


def test_pointer_and_keyboard_show_the_figures_and_escape_hides_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count('data-tip="') > 20
    if BROWSER is None:
        return
    script = """
    const tip = document.getElementById("tip");
    const band = document.querySelector("g.hover");
    band.dispatchEvent(new PointerEvent("pointermove", { clientX: 300, clientY: 300 }));
    const pointed = tip.hidden ? "" : tip.textContent;
    dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    return { pointed, hidden: tip.hidden };
    """
    answers = _ask(page, script)
    assert answers["pointed"].startswith("untrained policy\nheld-out accuracy (test): 25.0")
    assert answers["hidden"] is True


def test_light_and_dark_follow_the_reader_and_the_button(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert '<button id="theme"' in text
    if BROWSER is None:
        return
    script = """
    const ground = () => getComputedStyle(document.body).backgroundColor;
    const before = ground();
    document.getElementById("theme").click();
    return [before, ground()];
    """
    light, dark = "rgb(247, 246, 243)", "rgb(16, 18, 22)"
    assert _ask(page, script) == [light, dark]
    assert _ask(page, script, dark=True) == [dark, light]


@pytest.mark.parametrize("width", [360, 1100])
def test_nothing_is_wider_than_the_screen(page: Path, width: int) -> None:
    text = page.read_text(encoding="utf-8")
    assert 'name="viewport" content="width=device-width' in text
    assert "max-width: 620px" in text
    if BROWSER is None:
        return
    script = f"""
    const frame = document.createElement("iframe");
    frame.style.cssText = "width:{width}px;height:800px;border:0";
    document.body.append(frame);
    frame.contentDocument.write("<!DOCTYPE html><html lang=en><head>" + document.head.innerHTML + "</head><body></body></html>");
    frame.contentDocument.close();
    frame.contentDocument.body.append(frame.contentDocument.importNode(document.querySelector("main"), true));
    return [frame.contentDocument.documentElement.scrollWidth, frame.contentWindow.innerWidth];
    """
    wide, screen = _ask(page, script, width=1300)
    assert screen == width
    assert wide <= screen


def test_the_page_prints(page: Path, tmp_path: Path) -> None:
    assert "@media print" in page.read_text(encoding="utf-8")
    if BROWSER is None:
        return
    print_pdf(BROWSER, page, tmp_path / "report.pdf")
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) >= 2


def test_pictures_of_a_run_are_small_and_of_the_size_asked_for(builder: Builder, tmp_path: Path) -> None:
    assert len({picture.name for picture in PICTURES}) == len(PICTURES)
    if BROWSER is None:
        with pytest.raises(LaunchError, match="found none"):
            make_pictures(tmp_path, tmp_path / "images")
        return
    page = tmp_path / "page.html"
    page.write_text('<!DOCTYPE html><body style="margin:0;background:#123456"><h1 id="here">x</h1>', encoding="utf-8")
    picture = tmp_path / "picture.png"
    screenshot(BROWSER, page, picture, width=390, height=200, dark=True, anchor="here")
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24]) == (390, 200)


def test_a_browser_that_does_not_work_is_a_clear_error(page: Path) -> None:
    with pytest.raises(LaunchError, match="cannot run /nowhere/chromium"):
        document("/nowhere/chromium", page)
    with pytest.raises(LaunchError, match="ended with status 2"):
        document(sys.executable, page)
