"""A rotating log file: whole lines, bounded files, nothing lost between writer and reader."""

import itertools
import os
import threading
from pathlib import Path

import pytest

from seal_runtime.cli.log_files import LogFollower
from seal_runtime.store.log_file import NEVER, LogFile, Rotation, rotated

LINE = '{{"event": "e", "time": "2025-01-01T10:00:00.{:06d}+00:00"}}'


def line(number: int) -> str:
    return LINE.format(number)


def numbers(path: Path) -> list[int]:
    return [int(text.split(".")[1][:6]) for text in path.read_text().splitlines()]


def followed(follower: LogFollower) -> list[int]:
    return [int(found.time.split(".")[1][:6]) for found in follower.new_lines()]


def test_a_full_file_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "trainer-0.jsonl"
    file = LogFile(path, Rotation(max_bytes=3 * len(line(0)) + 3, num_kept=2))
    for number in range(11):
        file.write(line(number))
    assert [numbers(rotated(path, n)) for n in range(3)] == [[9, 10], [6, 7, 8], [3, 4, 5]]
    assert len(list(path.parent.iterdir())) == 3


@pytest.mark.parametrize("rotation", [NEVER, Rotation(max_bytes=1 << 20, num_kept=0)])
def test_a_file_below_its_limit_stays_one(tmp_path: Path, rotation: Rotation) -> None:
    file = LogFile(tmp_path / "a.jsonl", rotation)
    for number in range(100):
        file.write(line(number))
    assert numbers(tmp_path / "a.jsonl") == list(range(100))


def test_a_line_longer_than_the_limit_is_written_whole(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.jsonl", Rotation(max_bytes=10, num_kept=1))
    file.write(line(1))
    file.write(line(2))
    assert (numbers(tmp_path / "a.jsonl"), numbers(tmp_path / "a.jsonl.1")) == ([2], [1])


def test_two_writers_follow_each_others_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    old, new = (LogFile(path, Rotation(max_bytes=200, num_kept=50)) for _ in range(2))
    for number in range(40):
        (old if number % 3 else new).write(line(number))
    assert list(itertools.chain.from_iterable(numbers(rotated(path, n)) for n in range(50, -1, -1) if rotated(path, n).exists())) == list(
        range(40)
    )


def test_a_refused_rename_costs_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no")

    file = LogFile(tmp_path / "a.jsonl", Rotation(max_bytes=100, num_kept=1))
    monkeypatch.setattr(os, "replace", refuse)
    for number in range(5):
        file.write(line(number))
    assert numbers(tmp_path / "a.jsonl") == list(range(5))


def test_a_reader_that_comes_late_finds_the_rotated_files_too(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.jsonl", Rotation(max_bytes=200, num_kept=9))
    for number in range(12):
        file.write(line(number))
    assert (tmp_path / "a.jsonl.2").exists()
    follower = LogFollower(tmp_path)
    assert followed(follower) == list(range(12))
    assert followed(follower) == []


@pytest.mark.parametrize("num_before", [0, 1, 5, 6, 7])
def test_a_reader_goes_on_across_several_rotations_between_two_looks(tmp_path: Path, num_before: int) -> None:
    file = LogFile(tmp_path / "a.jsonl", Rotation(max_bytes=200, num_kept=9))
    follower = LogFollower(tmp_path)
    for number in range(num_before):
        file.write(line(number))
    assert followed(follower) == list(range(num_before))
    for number in range(num_before, num_before + 15):
        file.write(line(number))
    assert followed(follower) == list(range(num_before, num_before + 15))


def test_a_reader_loses_and_doubles_nothing_while_a_writer_rotates_as_fast_as_it_can(tmp_path: Path) -> None:
    num_lines = 3000
    file = LogFile(tmp_path / "a.jsonl", Rotation(max_bytes=1000, num_kept=99))
    follower = LogFollower(tmp_path)
    # The writer stays at most 500 lines ahead (of the 1,700 that are kept), so what is lost is the reader's fault.
    ahead = threading.Semaphore(500)

    def write() -> None:
        for number in range(num_lines):
            assert ahead.acquire(timeout=30)
            file.write(line(number))

    writer = threading.Thread(target=write)
    writer.start()
    found: list[int] = []
    while len(found) < num_lines and (writer.is_alive() or len(found) < num_lines):
        new = followed(follower)
        found += new
        for _ in new:
            ahead.release()
        if not new and not writer.is_alive():
            found += followed(follower)
            break
    writer.join(30)
    assert found == list(range(num_lines))


def test_a_removed_file_is_finished_and_reading_goes_on_with_the_oldest_left(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.jsonl", Rotation(max_bytes=200, num_kept=1))
    follower = LogFollower(tmp_path)
    file.write(line(0))
    assert followed(follower) == [0]
    for number in range(1, 12):
        file.write(line(number))
    kept = [*numbers(tmp_path / "a.jsonl.1"), *numbers(tmp_path / "a.jsonl")]
    # The file that the reader held open is read to its end (0 to 2), then what is left.
    assert followed(follower) == [1, 2, *kept]
