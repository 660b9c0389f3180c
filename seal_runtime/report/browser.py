"""Let a headless Chromium open a page: as a picture, as the document after its scripts ran, and on paper.

For the pictures of the documentation and for tests. Each call starts a browser of its own with an empty profile and ends it.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from seal_runtime.errors import LaunchError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TIMEOUT_SECONDS = 60.0
# A browser in a container has no sandbox of its own and little shared memory.
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run")


def find_browser() -> str | None:
    """Return the command of an installed Chromium or Chrome, None when there is none."""
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


def screenshot(browser: str, page: Path, picture: Path, *, width: int, height: int, dark: bool = False, anchor: str = "") -> None:
    """Write a PNG of a page at a width and height in CSS pixels, from the element `anchor` on. Raises LaunchError.

    The page is shown in a frame, since a window cannot be as narrow as a phone. `dark` stands for a reader who prefers dark pages.
    """
    fragment = f"#{anchor}" if anchor else ""
    frame = f'<iframe src="{page.resolve().as_uri()}{fragment}" style="width:{width}px;height:{height}px;border:0;display:block"></iframe>'
    with tempfile.TemporaryDirectory() as folder:
        outer = Path(folder) / "frame.html"
        outer.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">{frame}', encoding="utf-8")
        scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        _run(browser, outer, f"--screenshot={picture.resolve()}", f"--window-size={width},{height}", *scheme)
    if not picture.is_file():
        raise LaunchError(f"expected {browser} to write {picture}, it wrote nothing; is the folder writable?")


def document(browser: str, page: Path, *, width: int = 1100, height: int = 900, dark: bool = False) -> str:
    """Return the page's HTML after its scripts ran. Raises LaunchError."""
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    return _run(browser, page, "--dump-dom", f"--window-size={width},{height}", *scheme)


def print_pdf(browser: str, page: Path, pdf: Path) -> None:
    """Print a page into a PDF file. Raises LaunchError."""
    _run(browser, page, f"--print-to-pdf={pdf.resolve()}", "--no-pdf-header-footer")
    if not pdf.is_file():
        raise LaunchError(f"expected {browser} to write {pdf}, it wrote nothing; is the folder writable?")


def _run(browser: str, page: Path, *flags: str) -> str:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *_FLAGS, f"--user-data-dir={profile}", *flags, page.resolve().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LaunchError(f"cannot run {browser}: {error}; is it a working Chromium?") from error
    if done.returncode != 0:
        raise LaunchError(f"{browser} ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
