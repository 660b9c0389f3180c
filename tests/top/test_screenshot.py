import asyncio
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from seal_runtime.top.screenshot import draw, main, read_status

ROOT = Path(__file__).parents[2]
STATUS = Path(__file__).with_name("status.json")


def words(svg: str) -> str:
    """Return the text of an SVG, white space made even."""
    return re.sub(r"\s+", " ", "".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " "))


def test_a_real_status_is_drawn_the_same_way_each_time(tmp_path: Path) -> None:
    out = tmp_path / "top.svg"
    assert main([str(STATUS), str(out)]) == 0
    svg = asyncio.run(draw(read_status(STATUS.read_text())))
    assert words(out.read_text()) == words(svg)
    for text in ("round 3 of 4", "174/346 scored", "bottleneck", "trainers are busy 68 %", "Pause"):
        assert text in words(svg)


def test_the_picture_of_the_documentation_shows_what_is_drawn_now() -> None:
    drawn = words(asyncio.run(draw(read_status(STATUS.read_text()))))
    kept = words((ROOT / "docs/images/top.svg").read_text())
    for text in re.findall(r"[\w-]+ \d+ %|round \d of \d|[\d,]+ edits/h", drawn):
        assert text in kept
