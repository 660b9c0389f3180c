"""A chat endpoint on this host that follows a script, over real HTTP: each request takes the next behaviour, the last one stays."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(slots=True)
class ChatServer:
    """What was asked, and how to answer."""

    behaviours: list[Callable[[BaseHTTPRequestHandler], None]]
    url: str = ""
    requests: list[dict[str, object]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    num_open: int = 0
    most_open: int = 0

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        assert handler.path == "/v1/chat/completions"
        with self.lock:
            behaviour = self.behaviours[min(len(self.requests), len(self.behaviours) - 1)]
            self.requests.append(body)
            self.keys.append(handler.headers.get("Authorization"))
            self.num_open += 1
            self.most_open = max(self.most_open, self.num_open)
        try:
            behaviour(handler)
        finally:
            with self.lock:
                self.num_open -= 1


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def says(text: str | None) -> Callable[[BaseHTTPRequestHandler], None]:
    usage = {"prompt_tokens": 150, "completion_tokens": 2}
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}).encode()
    return lambda handler: send(handler, 200, body)


def refuses(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: send(handler, status, b'{"error": {"message": "not now"}}', **headers)


def sends(body: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: send(handler, 200, body)


@contextmanager
def chat_server(*behaviours: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[ChatServer]:
    state = ChatServer(list(behaviours))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.take(self)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of clients that went away."""

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
