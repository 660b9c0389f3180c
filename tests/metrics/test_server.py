import dataclasses
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from protocol.status import RunStatus
from seal_runtime.metrics import server as server_module
from seal_runtime.metrics.server import StatusServer

TIMEOUT_SECONDS = 30.0


@pytest.fixture
def server() -> Iterator[StatusServer]:
    made = StatusServer("127.0.0.1", 0)
    yield made
    made.close()


def get(server: StatusServer, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(server.url + path, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_serves_the_last_status_that_was_published(server: StatusServer, status: RunStatus) -> None:
    assert get(server, "/metrics")[0] == 503, "nothing was published yet"
    server.publish(status)
    server.publish(dataclasses.replace(status, round=3))
    code, body = get(server, "/metrics?x=1")
    assert code == 200
    assert "seal_round 3.0" in body


def test_health_says_how_the_run_is(server: StatusServer, status: RunStatus) -> None:
    server.publish(status)
    code, body = get(server, "/health")
    said = json.loads(body)
    assert (code, said["ok"], said["phase"], said["alarms"]) == (200, True, "running", ["plateau"])
    server.publish(dataclasses.replace(status, phase="failed"))
    assert get(server, "/health")[0] == 503


def test_a_controller_that_stopped_publishing_is_not_healthy(
    server: StatusServer, status: RunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "STALE_SECONDS", 0.0)
    server.publish(status)
    assert get(server, "/health")[0] == 503


def test_other_paths_and_methods_are_refused(server: StatusServer, status: RunStatus) -> None:
    server.publish(status)
    assert get(server, "/")[0] == 404
    assert get(server, "/metrics", method="POST")[0] == 501


def test_a_client_that_drips_bytes_is_cut_off(server: StatusServer, status: RunStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.3)
    server.publish(status)
    host, port = server.url.removeprefix("http://").split(":")
    done = threading.Event()

    def drip() -> None:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS) as slow:
            while not done.wait(0.05):
                try:
                    slow.sendall(b"G")
                except OSError:
                    return

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        time.sleep(0.1)
        assert get(server, "/health")[0] == 200, "the next client is served"
    finally:
        done.set()
        dripping.join(TIMEOUT_SECONDS)


def test_an_address_in_use_is_an_os_error(server: StatusServer) -> None:
    with pytest.raises(OSError, match="in use"):
        StatusServer("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
