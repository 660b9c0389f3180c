"""Ask a run's controller how it goes, to stop, or to drain an agent, through the run's connection file.

A controller that is away is None, not an error.
"""

import os
import socket
from pathlib import Path

from protocol.errors import ChannelError, ChannelTimeout, ProtocolError
from protocol.messages import Done, DrainRequest, FromObserver, StatusReply, StatusRequest, StopRequest
from protocol.observer import ObserverClient
from protocol.security import ConnectionInfo, read_connection_file
from protocol.status import RunStatus

STATUS_TIMEOUT_SECONDS = 1.0
STOP_TIMEOUT_SECONDS = 3.0


def serves(connection: Path, controller_pid: int) -> bool:
    """Say whether this controller process has written where it can be reached."""
    info = read_connection(connection)
    return info is not None and info.controller_pid == controller_pid


def read_connection(connection: Path) -> ConnectionInfo | None:
    """Return the content of a connection file, None while there is none that can be read."""
    try:
        return read_connection_file(connection)
    except ChannelError:
        return None


def is_dead(info: ConnectionInfo) -> bool:
    """Say whether the controller is known to be gone: it was on this host and its process is not there any more."""
    if info.hostname != socket.gethostname():
        return False
    try:
        os.kill(info.controller_pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class RunObserver:
    """A reader of one run that survives the controller's restarts: it connects anew when the connection file changes."""

    def __init__(self, connection: Path) -> None:
        self.last_status: RunStatus | None = None
        self._connection = connection
        self._info: ConnectionInfo | None = None
        self._client: ObserverClient | None = None

    def status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> RunStatus | None:
        """Return the status now, None when the controller does not answer. The last one seen stays in `last_status`."""
        reply = self._request(StatusRequest(), timeout_seconds)
        if not isinstance(reply, StatusReply):
            return None
        self.last_status = reply.status
        return reply.status

    def ask_to_stop(self, reason: str) -> bool:
        """Ask the controller to end the run; say whether it took the request."""
        return isinstance(self._request(StopRequest(reason=reason), STOP_TIMEOUT_SECONDS), Done)

    def ask_to_drain(self, agent: str) -> bool:
        """Ask the controller to let an agent finish its jobs and leave; say whether it took the request."""
        return isinstance(self._request(DrainRequest(agent=agent), STATUS_TIMEOUT_SECONDS), Done)

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
        self._client, self._info = None, None

    def _request(self, message: FromObserver, timeout_seconds: float) -> object:
        info = read_connection(self._connection)
        if info != self._info or info is None:
            self.close()
        if info is None or is_dead(info):
            return None
        try:
            if self._client is None:
                self._client, self._info = ObserverClient(info), info
            return self._client.request(message, timeout_seconds)
        except (ChannelError, ChannelTimeout, ProtocolError):
            self.close()
            return None
