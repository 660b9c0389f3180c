"""Draw `top` without a terminal: `python -m seal_runtime.top.screenshot STATUS.json OUT.svg` makes the picture of the documentation.

STATUS.json is what `seal-runtime status --json` printed during a run. The same status gives the same picture.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from pydantic import TypeAdapter

from protocol.status import RunStatus
from seal_runtime.top.app import TopApp
from seal_runtime.top.source import Reading

SIZE = (100, 26)
SETTLE_SECONDS = 20.0
PAUSE_SECONDS = 0.05


class _Still:
    """A source that always says the same."""

    def __init__(self, status: RunStatus) -> None:
        self._reading = Reading(status=status, note="")

    def read(self) -> Reading:
        return self._reading

    def close(self) -> None:
        pass


def read_status(text: str) -> RunStatus:
    """Return the status that `status --json` printed. Raises pydantic's ValidationError for anything else."""
    fields = json.loads(text)
    return TypeAdapter(RunStatus).validate_python({name: value for name, value in fields.items() if name not in ("run_dir", "source")})


async def draw(status: RunStatus, size: tuple[int, int] = SIZE) -> str:
    """Return the screen as SVG."""
    app = TopApp(_Still(status), title=status.run_id)
    async with app.run_test(size=size) as pilot:
        for _ in range(int(SETTLE_SECONDS / PAUSE_SECONDS)):
            await pilot.pause(PAUSE_SECONDS)
            svg = app.export_screenshot(title="seal-runtime top")
            if status.phase in svg and "Pause" in svg:
                return svg
    raise TimeoutError(f"the screen did not come up within {SETTLE_SECONDS:g} s")


def main(arguments: list[str] | None = None) -> int:
    """Write the picture; return 0."""
    parser = argparse.ArgumentParser(prog="python -m seal_runtime.top.screenshot", description="Draw `seal-runtime top` as SVG.")
    parser.add_argument("status", type=Path, help="output of `seal-runtime status --json`")
    parser.add_argument("out", type=Path, help="SVG file to write")
    options = parser.parse_args(arguments)
    svg = asyncio.run(draw(read_status(options.status.read_text(encoding="utf-8"))))
    options.out.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
