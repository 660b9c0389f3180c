"""`/metrics` and `/health` of a run over HTTP, from a thread of its own. GET only; it shows the last status that it was given.

Nobody is asked who they are, so it belongs on a loopback or private address. Bounded: one request at a time, each a few seconds at most.
Invariant: nothing that a client does holds up the thread that publishes.
"""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Any, ClassVar

import structlog

from protocol.status import RunStatus
from seal_runtime.metrics.exposition import exposition

log = structlog.get_logger()

REQUEST_SECONDS = 5.0
"""A connection is cut after so long, whatever it is at."""
STALE_SECONDS = 10.0
"""A status older than this says that the controller is stuck: `/health` then answers 503."""
CLOSE_SECONDS = REQUEST_SECONDS + 1.0


class StatusServer:
    """Serves from construction until `close`. Raises OSError when the address cannot be had, ImportError without prometheus_client."""

    def __init__(self, host: str, port: int) -> None:
        import prometheus_client  # noqa: F401  missing, it shall be missed now and not at the first request

        self._server = (_Server6 if ":" in host else _Server)((host, port), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return where it is."""
        host, port = str(self._server.server_address[0]), self._server.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def publish(self, status: RunStatus) -> None:
        """Show this status from now on."""
        self._server.shown = (time.monotonic(), status)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(CLOSE_SECONDS)


class _Server(TCPServer):
    """Not http.server's own class, which asks the name service about the address and may wait long for it."""

    shown: tuple[float, RunStatus] | None = None
    request_queue_size = 8
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is its own affair."""
        log.debug("metrics_request_failed", client=str(client_address), exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout: ClassVar[float] = REQUEST_SECONDS
    server_version = "seal-runtime"
    sys_version = ""

    def handle(self) -> None:
        """Serve one request, and cut the connection when it takes too long (a client may send a byte a second)."""
        watchdog = threading.Timer(REQUEST_SECONDS, self._cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            super().handle()
        finally:
            watchdog.cancel()

    def do_GET(self) -> None:
        """Answer `/metrics` and `/health`."""
        path = self.path.partition("?")[0]
        if path not in ("/metrics", "/health"):
            self._answer(404, b"expected /metrics or /health\n", "text/plain; charset=utf-8")
        elif self.server.shown is None:
            self._answer(503, b"the controller has not said anything yet\n", "text/plain; charset=utf-8")
        elif path == "/metrics":
            self._answer(200, *exposition(self.server.shown[1]))
        else:
            self._health(*self.server.shown)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep requests out of stderr."""

    def _health(self, published_at: float, status: RunStatus) -> None:
        age = time.monotonic() - published_at
        is_well = age < STALE_SECONDS and status.phase != "failed"
        body = {
            "ok": is_well,
            "run": status.run_id,
            "phase": status.phase,
            "status_age_seconds": round(age, 3),
            "agents": len(status.agents),
            "problems": list(status.problems),
            "alarms": [alarm.kind for alarm in status.alarms],
        }
        self._answer(200 if is_well else 503, json.dumps(body).encode() + b"\n", "application/json")

    def _answer(self, code: int, body: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("metrics_connection_gone")
