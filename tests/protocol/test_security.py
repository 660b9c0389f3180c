"""Who is heard and who is not; the connection file."""

import dataclasses
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq
from structlog.testing import capture_logs

from protocol.codec import encode
from protocol.errors import ChannelError, SealError
from protocol.messages import Register, Reject, StatusRequest
from protocol.security import ConnectionInfo, new_client_keys, new_server_keys, read_connection_file, write_connection_file

Open = Callable[..., Any]


def an_info() -> ConnectionInfo:
    return ConnectionInfo(
        run_id="run-1",
        endpoint="tcp://127.0.0.1:5555",
        server_public_key=new_server_keys().public_key,
        client_public_key="",
        client_secret_key="do not print",
        controller_pid=1,
        hostname="h",
        started_at=1.5,
    )


def with_other_client_key(info: ConnectionInfo) -> ConnectionInfo:
    keys = new_client_keys()
    return dataclasses.replace(info, client_public_key=keys.public_key, client_secret_key=keys.secret_key)


def test_an_unknown_client_key_is_never_heard_and_hears_why(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    stranger = open_channel(with_other_client_key(controller.info))
    controller.until(lambda: "refused our key" in stranger.problem)
    friend = open_channel(controller.info, agent="friend")
    controller.until(lambda: bool(controller.all_of(Register)))
    assert {register.agent for register in controller.all_of(Register)} == {"friend"}
    assert controller.socket.clients_denied >= 1
    assert stranger.receive(0.0) is None
    assert friend.problem == ""


def test_a_client_that_knows_another_server_key_does_not_connect(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    lost = open_channel(dataclasses.replace(controller.info, server_public_key=new_server_keys().public_key))
    controller.until(lambda: "during the handshake" in lost.problem)
    assert controller.seen == []


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_plain_socket_is_not_heard_by_a_curve_server(open_controller: Open, open_channel: Open, tmp_path: Path, transport: str) -> None:
    controller = open_controller("tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{tmp_path}/bus")
    context: zmq.Context[Any] = zmq.Context()
    plain = context.socket(zmq.DEALER)
    try:
        plain.connect(controller.info.endpoint)
        plain.send(encode(StatusRequest()))
        open_channel(controller.info)
        controller.until(lambda: bool(controller.all_of(Register)))
        for _ in range(5):
            controller.serve(0.02)
        assert controller.all_of(StatusRequest) == []
        assert not controller.socket.send(b"\0\0\0\0\1", Reject(reason="nobody"))
    finally:
        context.destroy(linger=0)


def test_the_connection_file_round_trips_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "connection.json"
    path.write_text("an old one")
    write_connection_file(an_info(), path)
    old_mask = os.umask(0)
    try:
        info = an_info()
        write_connection_file(info, path)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_connection_file(path) == info
    assert [entry.name for entry in tmp_path.iterdir()] == ["connection.json"]


def test_a_connection_file_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "connection.json"
    write_connection_file(an_info(), path)
    path.chmod(0o644)
    with capture_logs() as logs:
        read_connection_file(path)
    assert [(entry["event"], entry["log_level"], entry["mode"]) for entry in logs] == [("connection_file_exposed", "warning", "0o644")]


def test_secrets_are_not_printed() -> None:
    keys = new_client_keys()
    assert keys.secret_key not in repr(keys)
    assert "do not print" not in repr(an_info())


def test_a_missing_connection_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ChannelError, match="is the run started"):
        read_connection_file(tmp_path / "connection.json")
    with pytest.raises(ChannelError, match="cannot read"):
        read_connection_file(tmp_path)
    with pytest.raises(ChannelError, match="cannot write"):
        write_connection_file(an_info(), tmp_path / "nowhere" / "connection.json")
    assert issubclass(ChannelError, SealError)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"run_id": "x"}',
        json.dumps(dataclasses.asdict(an_info()) | {"extra": 1}),
        json.dumps(dataclasses.asdict(an_info()) | {"controller_pid": "1"}),
        json.dumps(dataclasses.asdict(an_info()) | {"run_id": "../../x"}),
        "\x00\x01",
    ],
    ids=range(10),
)
def test_a_malformed_connection_file_is_a_clear_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "connection.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ChannelError, match="is not a connection file"):
        read_connection_file(path)


def test_libzmq_without_curve_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmq.has", lambda capability: False)
    with pytest.raises(ChannelError, match=r"bus\.curve"):
        new_server_keys()
