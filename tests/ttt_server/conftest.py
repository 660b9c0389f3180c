"""A server on a free port with the built-in model."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

sys.path.insert(0, str(Path(__file__).parent))

from ttt_serving import Serve, Serving, rules_of

from seal_runtime.cli.serve_ttt import served_topology
from seal_runtime.tasks.graders import Grade, make_grader
from seal_runtime.ttt_server.kept_adapters import KeptAdapters
from seal_runtime.ttt_server.server import ServerOptions, TttServer


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Yield a function that starts a server."""
    context: zmq.Context[Any] = zmq.Context()
    running: list[Serving] = []

    def start(*overrides: str, grade: Grade | None = None, kept: Path | None = None, model: str = "builtin:seal-tiny") -> Serving:
        topology = served_topology(model, ["trainer.optim.max_length=256", "evaluator.max_new_tokens=6", *overrides])
        options = ServerOptions(
            endpoint="tcp://127.0.0.1:0",
            store=tmp_path / f"store-{len(running)}",
            kept=None if kept is None else KeptAdapters(kept, 5555),
        )
        server = TttServer(topology, rules_of(topology), grade or make_grader("contains", topology.task.judge), options)
        running.append(Serving(server, context))
        return running[-1]

    yield start
    for serving in running:
        serving.stop()
    context.destroy(linger=0)
