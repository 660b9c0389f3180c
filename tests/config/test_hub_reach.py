"""A hub that is not there is noticed before its libraries begin to wait for it."""

import os
import socket

import pytest

from seal_runtime.config import hub_reach
from seal_runtime.config.hub_reach import forgo_unreachable_hub


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a choice of the user nor an answer of another test."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "")
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    hub_reach._can_connect.cache_clear()


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_a_hub_that_listens_is_used(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
    with listener:
        forgo_unreachable_hub()
    assert os.environ["HF_HUB_OFFLINE"] == ""


def test_a_hub_that_refuses_is_given_up(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
    listener.close()
    forgo_unreachable_hub()
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_proxy_is_not_looked_behind(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    port = listener.getsockname()[1]
    listener.close()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    forgo_unreachable_hub()
    assert os.environ["HF_HUB_OFFLINE"] == ""
