"""Make the pictures of the documentation from a real run: `python -m seal_runtime.report.screenshots runs/quickstart docs/images`.

Needs Chromium. Every picture stays below 150 kB.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import SealError
from seal_runtime.errors import LaunchError
from seal_runtime.report.browser import find_browser, screenshot
from seal_runtime.report.html import write_report
from seal_runtime.report.summary import summarise_run
from seal_runtime.store.run_directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture: its file's name, its size in CSS pixels, and what of the report it shows."""

    name: str
    width: int
    height: int
    dark: bool = False
    anchor: str = ""


PICTURES = (
    Picture(name="report.png", width=1000, height=900),
    Picture(name="report-edits.png", width=1000, height=620, dark=True, anchor="all-edits"),
    Picture(name="report-phone.png", width=390, height=844),
)


def make_pictures(run_dir: Path, folder: Path) -> list[Path]:
    """Write the run's report anew and its pictures into `folder`. Raises SealError."""
    browser = find_browser()
    if browser is None:
        raise LaunchError("expected Chromium or Chrome on the PATH, found none; install one to make pictures of the report")
    paths = RunDirectory(run_dir)
    write_report(summarise_run(paths.root), paths)
    folder.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        screenshot(
            browser,
            paths.report_html,
            folder / picture.name,
            width=picture.width,
            height=picture.height,
            dark=picture.dark,
            anchor=picture.anchor,
        )
    return [folder / picture.name for picture in PICTURES]


def main() -> int:
    """Read the command line, make the pictures and name them."""
    parser = argparse.ArgumentParser(prog="python -m seal_runtime.report.screenshots", description="Make pictures of a run's report.")
    parser.add_argument("run", type=Path, help="the run directory")
    parser.add_argument("folder", type=Path, help="where the pictures go, such as docs/images")
    arguments = parser.parse_args()
    try:
        pictures = make_pictures(arguments.run, arguments.folder)
    except SealError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for picture in pictures:
        print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
