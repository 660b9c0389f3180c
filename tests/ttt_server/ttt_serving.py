"""A server on a thread of the test, and clients as the published drivers are."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import zmq

from seal_runtime.config.topology import Topology
from seal_runtime.ttt_server.jobs import ServerRules
from seal_runtime.ttt_server.server import TttServer

DEADLINE_SECONDS = 120.0
TARGETS = ("gate_proj", "up_proj", "down_proj")


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition until a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


class Client:
    """A REQ client that speaks JSON, with a deadline."""

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        self.socket = context.socket(zmq.REQ)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, int(1000 * DEADLINE_SECONDS))
        self.socket.connect(endpoint)

    def send(self, message: object) -> None:
        """Send a request: an object as JSON, bytes as they are."""
        self.socket.send(message if isinstance(message, bytes) else json.dumps(message).encode())

    def ask(self, message: object) -> dict[str, Any]:
        """Send a request and return the reply."""
        self.send(message)
        reply: dict[str, Any] = self.socket.recv_json()
        return reply


class Serving:
    """A server on a thread. `error` is what ended it."""

    def __init__(self, server: TttServer, context: zmq.Context[Any]) -> None:
        self.endpoint = server.endpoint
        self.error: BaseException | None = None
        self._context = context
        self._server = server
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._ready.is_set() or not self._thread.is_alive())

    def client(self) -> Client:
        """Return a fresh client."""
        return Client(self._context, self.endpoint)

    def stop(self) -> None:
        """Ask the server to stop and wait for its end."""
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Wait for the server's end."""
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive(), "the server did not end"

    def _run(self) -> None:
        try:
            self._server.run(self._stop.is_set, self._ready.set)
        except BaseException as error:
            self.error = error


Serve = Callable[..., Serving]


def rules_of(topology: Topology, *, is_instruct: bool = False) -> ServerRules:
    """Return the rules of a server with this topology."""
    return ServerRules(
        seed=0,
        targets=TARGETS,
        optim=topology.trainer.optim,
        pad_loss=topology.trainer.pad_loss,
        max_new_tokens=topology.evaluator.max_new_tokens,
        is_instruct=is_instruct,
    )
