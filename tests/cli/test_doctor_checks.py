from pathlib import Path

import pytest

from seal_runtime.cli import doctor_checks


def test_a_stranger_among_our_packages_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    homes = {"agents": "/elsewhere/site-packages", "launch": "/ours", "protocol": "/ours", "seal_runtime": "/ours"}
    monkeypatch.setattr(doctor_checks, "_home", homes.get)
    finding = doctor_checks.check_own_packages()
    assert finding.state == "failed"
    assert "agents from /elsewhere/site-packages" in finding.detail


def test_an_old_dependency_is_named_with_its_remedy() -> None:
    finding = doctor_checks._dependency("pyzmq", "999.1")
    assert finding.state == "failed"
    assert finding.advice == "pip install -U 'pyzmq>=999.1'"


def test_a_missing_dependency_is_named() -> None:
    assert "not installed" in doctor_checks._dependency("no-such-distribution-here", "1.0").detail


@pytest.mark.parametrize(("version", "numbers"), [("2.13.0+cpu", (2, 13, 0)), ("26.2", (26, 2)), ("5.0rc1", (5, 0, 1))])
def test_versions_compare_as_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert doctor_checks._numbers(version) == numbers


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    finding = doctor_checks.check_writable(tmp_path / "missing")
    assert finding.state == "failed"
    assert "cannot write" in finding.detail


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor_checks, "LEAST_FREE_BYTES", 1 << 62)
    assert doctor_checks.check_disk(tmp_path).state == "warning"
