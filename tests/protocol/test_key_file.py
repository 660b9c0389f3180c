"""The key file: kept for the run, for the owner's eyes only, never trusted when it could have been seen or damaged."""

import dataclasses
import json
import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from protocol.key_file import RunKeys, new_run_keys, read_run_keys, write_run_keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def kept_keys(path: Path) -> RunKeys:
    keys = dataclasses.replace(new_run_keys(curve=True), bind="tcp://127.0.0.1:0", port=40123)
    write_run_keys(keys, path)
    return keys


def test_keys_round_trip_and_only_their_owner_reads_them(path: Path) -> None:
    old_mask = os.umask(0)
    try:
        keys = kept_keys(path)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_run_keys(path, curve=True) == keys
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.json"]


def test_secrets_are_not_printed() -> None:
    keys = new_run_keys(curve=True)
    assert keys.server_secret_key not in repr(keys)
    assert keys.client_secret_key not in repr(keys)


def test_a_run_without_a_key_file_has_none(path: Path) -> None:
    with capture_logs() as logs:
        assert read_run_keys(path, curve=True) is None
    assert logs == []


def test_keys_that_others_could_read_are_not_used_again(path: Path) -> None:
    kept_keys(path)
    path.chmod(0o640)
    with capture_logs() as logs:
        assert read_run_keys(path, curve=True) is None
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("key_file_refused", "could be read by others (mode 640)")]


def swapped(keys: RunKeys) -> RunKeys:
    return dataclasses.replace(keys, server_public_key=keys.client_public_key)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"bind": ""}', "\x00"], ids=range(6))
def test_a_damaged_file_is_not_used(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
    with capture_logs() as logs:
        assert read_run_keys(path, curve=True) is None
    assert "is damaged" in logs[0]["reason"]


def test_keys_that_are_no_pair_are_not_used(path: Path) -> None:
    for keys in (swapped(kept_keys(path)), new_run_keys(curve=False), dataclasses.replace(kept_keys(path), client_secret_key="short")):
        path.write_text(json.dumps(dataclasses.asdict(keys)))
        path.chmod(0o600)
        assert read_run_keys(path, curve=True) is None


def test_without_curve_the_file_holds_the_port_alone(path: Path) -> None:
    keys = dataclasses.replace(new_run_keys(curve=False), bind="tcp://127.0.0.1:0", port=40123)
    write_run_keys(keys, path)
    assert read_run_keys(path, curve=False) == keys
    assert keys.server_public_key == keys.client_secret_key == ""
