"""Write the report as one HTML file that needs nothing else: style, script and drawings are inside, nothing is fetched.

A content security policy allows this page's own script by its hash and no other, so that even a hole in the escaping of model
output would not run code. The file appears whole or not at all.
"""

import base64
import contextlib
import hashlib
import os
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from string import Template

from seal_runtime.errors import StoreError
from seal_runtime.report.edits import edits_section
from seal_runtime.report.edits_table import edits_table
from seal_runtime.report.markup import Markup, element, join, trusted
from seal_runtime.report.matrix_section import matrices_section
from seal_runtime.report.model import Identity, RunSummary
from seal_runtime.report.plain_text import format_duration
from seal_runtime.report.sections import (
    alarms_box,
    curve_section,
    policies_section,
    result_table,
    rounds_section,
    set_aside_section,
    tiles,
)
from seal_runtime.report.time_sections import time_section
from seal_runtime.report.verdict import verdict
from seal_runtime.store.run_directory import RunDirectory


def write_report(summary: RunSummary, paths: RunDirectory) -> None:
    """Write report.html and the same figures as report.json. Raises StoreError when the disk refuses; older files then stay."""
    _write_whole(paths.report_json, summary.to_json() + "\n")
    _write_whole(paths.report_html, render_html(summary))


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write the report {path}: {error.strerror}; free disk space or make the folder writable") from error


def render_html(summary: RunSummary) -> str:
    """Return the whole page."""
    script, sections = _asset("report.js"), _sections(summary)
    return Template(_asset("report.html")).substitute(
        title=join([f"{summary.identity.run} · seal-runtime"]),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=trusted(_asset("report.css")),
        script=trusted(script),
        header=_header(summary.identity),
        verdict=element("p", verdict(summary), class_="verdict"),
        alarms=alarms_box(summary.alarms),
        tiles=tiles(summary),
        contents=_contents(sections),
        sections=join([_section(*section) for section in sections]),
        versions=join([" · ".join(f"{name} {version}" for name, version in summary.identity.versions.items())]),
    )


def _sections(summary: RunSummary) -> list[tuple[str, str, Markup]]:
    """Return (anchor, heading, content) of every section that this run has, in the page's order."""
    settings = element("details", element("summary", "Show all settings"), element("pre", summary.topology_yaml, tabindex="0"))
    return [
        ("curve", "Learning curve", curve_section(summary)),
        ("results", "Held-out results", result_table(summary)),
        *([("forgetting", "Forgetting", matrices_section(summary.matrices))] if summary.matrices else []),
        ("rewards", "Rewards in each round", rounds_section(summary.rounds)),
        ("edits", "What it wrote", edits_section(summary)),
        ("all-edits", "All self-edits", edits_table(summary.edits)),
        ("policies", "Policy versions", policies_section(summary.policies)),
        ("time", "Where the time went", time_section(summary)),
        ("alarms", "Alarms", element("p", _alarms_note(summary), class_="muted")),
        ("set-aside", "Set aside", _set_aside(summary)),
        ("settings", "Settings", settings),
    ]


def _alarms_note(summary: RunSummary) -> str:
    rules = "reward hacking, diversity collapse, parse failures, plateau, slow agents"
    count = len(summary.alarms)
    return f"{count} alarm{'' if count == 1 else 's'}, named at the top ({rules})." if count else f"None ({rules})."


def _section(anchor: str, heading: str, content: Markup) -> Markup:
    return element("section", element("h2", heading, id=f"{anchor}-heading"), content, id=anchor, aria_labelledby=f"{anchor}-heading")


def _contents(sections: list[tuple[str, str, Markup]]) -> Markup:
    links = [element("a", heading, href=f"#{anchor}") for anchor, heading, _ in sections]
    return element("nav", *links, aria_label="Sections")


def _asset(name: str) -> str:
    return files("seal_runtime.report").joinpath(name).read_text(encoding="utf-8")


def _header(identity: Identity) -> Markup:
    facts = [
        f"{identity.task} task",
        identity.model,
        identity.algorithm,
        f"{identity.rounds} round{'' if identity.rounds == 1 else 's'}",
        f"seed {identity.seed}",
    ]
    if identity.started_at is not None:
        facts.append(datetime.fromtimestamp(identity.started_at, UTC).strftime("%Y-%m-%d %H:%M UTC"))
        if identity.finished_at is not None and identity.finished_at > identity.started_at:
            facts.append(format_duration(identity.finished_at - identity.started_at))
    phase = element("span", identity.phase, class_=f"badge phase-{identity.phase if identity.phase in ('done', 'failed') else 'other'}")
    return join([element("h1", identity.run, " ", phase), element("p", " · ".join(facts), class_="muted")])


def _set_aside(summary: RunSummary) -> Markup:
    if not summary.set_aside:
        return element("p", "Nothing: every self-edit was measured.", class_="muted")
    count = f"{len(summary.set_aside)} job{'' if len(summary.set_aside) == 1 else 's'}, in no mean and no reward"
    return element("details", element("summary", count), set_aside_section(summary.set_aside))
