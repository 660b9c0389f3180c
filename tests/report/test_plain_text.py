"""Model output and figures in words."""

import pytest

from protocol.prompts import with_system
from seal_runtime.report.plain_text import format_bytes, format_duration, printable, short_question


def test_control_and_direction_characters_are_replaced() -> None:
    assert printable("a\x00b\nc\t\u202ed") == "a\ufffdb\nc\t\ufffdd"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Let's answer.\nTopic: X\nQuestion: Who is X?\nAnswer:", "Who is X?"),
        ("Let's answer a question directly and concisely.\nQuestion: Topic: X\nWho is X?\nAnswer:\n", "Who is X?"),
        ("Name it.", "Name it."),
        (with_system("Long\nexamples?\n", "[[1]\n [2]] -> "), "[[1] [2]] ->"),
        (with_system("Examples.\n", "1 " * 100), "1 " * 59 + "1…"),
        ("", ""),
    ],
)
def test_the_asking_line_is_found(prompt: str, expected: str) -> None:
    assert short_question(prompt) == expected


def test_durations_and_sizes_read_naturally() -> None:
    assert [format_duration(s) for s in (4.2, 41.0, 92.0, 18_420.0)] == ["4.2 s", "41 s", "1 min 32 s", "5 h 07 min"]
    assert [format_bytes(b) for b in (812, 1_900_000, 2_500_000_000)] == ["812 B", "1.9 MB", "2.5 GB"]
