"""The documents say what the code does: every message is listed, every file exists, every example is the one that runs."""

import re
from pathlib import Path
from typing import get_args

import pytest

from protocol import messages

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "docs/architecture.md",
    "docs/experiments.md",
    "docs/observing.md",
    "docs/tasks.md",
    "docs/reliability.md",
    "docs/plan.md",
    "CONTRIBUTING.md",
)
# Paths in the architecture page leave out the package where it is clear from the context.
PREFIXES = ("", "seal_runtime/")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_message_is_in_the_table_once() -> None:
    section = _read("docs/architecture.md").split("## Messages")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(listed) == sorted(member.__name__ for member in get_args(messages.Message))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document: str) -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|yaml|md))`", _read(document))
    missing = [path for path in named if not any((ROOT / prefix / path).is_file() for prefix in PREFIXES)]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", _read(document)) if "://" not in link]
    assert [link for link in links if not ((ROOT / document).parent / link).is_file()] == []


@pytest.mark.parametrize("example", ["examples/my_task.py", "examples/my-task.yaml"])
def test_the_example_of_a_task_is_the_one_that_runs(example: str) -> None:
    assert _read(example).strip() in _read("docs/tasks.md")


def test_the_licence_is_whole() -> None:
    text = _read("LICENSE")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
