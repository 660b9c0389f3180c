"""`seal-runtime serve-ttt`: answer the published code's drivers with the batched inner loop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_runtime.errors import ConfigError

if TYPE_CHECKING:
    from seal_runtime.config.topology import Topology

_TOPOLOGY_SUFFIXES = (".yaml", ".yml")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def serve_ttt(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL|TOPOLOGY", help="Folder, hub name, builtin:NAME, or a topology file (YAML).", show_default=False),
    ],
    port: Annotated[int, typer.Option("--port", "--zmq_port", help="Port to listen on; 0 takes a free one.", min=0, max=65_535)] = 5555,
    bind: Annotated[str, typer.Option(help="Address to listen on. The protocol has no key: whoever reaches it is served.")] = "127.0.0.1",
    grader: Annotated[str, typer.Option(help="contains, exact, em, f1, judge or module:function.")] = "contains",
    pad_loss: Annotated[str | None, typer.Option(help="Padding in the loss: none, eos, full (the published code) or sampled:M.")] = None,
    max_seq_length: Annotated[int | None, typer.Option("--max-seq-length", "--max_seq_length", help="Longest sequence.", min=8)] = None,
    eval_max_tokens: Annotated[int | None, typer.Option("--eval-max-tokens", "--eval_max_tokens", help="Longest answer.", min=1)] = None,
    instruct_model: Annotated[bool, typer.Option("--instruct-model", "--instruct_model", help="Ask with the chat template.")] = False,
    gpu: Annotated[int | None, typer.Option(help="GPU of trainer and evaluator; without it the topology's, or the CPU.", min=0)] = None,
    keep_adapter_dir: Annotated[
        bool, typer.Option("--keep-adapter-dir", "--keep_adapter_dir", help="Leave adapters in models/tmp_PORT_inner_TTT_STEP.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seeds derive from it.", min=0)] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, as in trainer.threads=4. Repeatable.", metavar="KEY=VALUE")
    ] = None,
) -> None:
    """Serve the published test-time-training protocol (JSON over ZeroMQ): its query and CPT drivers run against this unchanged."""
    import tempfile

    from launch.stop_signals import StopSignals
    from seal_runtime.logging import configure_logging
    from seal_runtime.tasks.graders import make_grader
    from seal_runtime.ttt_server.jobs import ServerRules
    from seal_runtime.ttt_server.kept_adapters import KeptAdapters
    from seal_runtime.ttt_server.server import ServerOptions, TttServer

    overrides = list(set_ or [])
    overrides += [] if pad_loss is None else [f"trainer.pad_loss={pad_loss}"]
    overrides += [] if max_seq_length is None else [f"trainer.optim.max_length={max_seq_length}"]
    overrides += [] if eval_max_tokens is None else [f"evaluator.max_new_tokens={eval_max_tokens}"]
    overrides += [] if gpu is None else [f"trainer.gpus=[{gpu}]", f"evaluator.gpus=[{gpu}]"]
    topology = served_topology(model, overrides)
    _see_one_gpu(topology)
    if bind not in _LOOPBACK:
        print(f"warning: whoever reaches {bind}:{port} is served; the protocol has neither key nor encryption", file=sys.stderr)
    configure_logging(role="ttt-server", agent="ttt-server", run="", log_file=None, console=True)
    rules = ServerRules(
        seed=seed,
        targets=topology.trainer.lora.targets,
        optim=topology.trainer.optim,
        pad_loss=topology.trainer.pad_loss,
        max_new_tokens=topology.evaluator.max_new_tokens,
        is_instruct=instruct_model,
    )
    with tempfile.TemporaryDirectory(prefix="seal-ttt-") as folder, StopSignals() as signals:
        kept = KeptAdapters(Path("models"), port) if keep_adapter_dir else None
        options = ServerOptions(endpoint=f"tcp://{bind}:{port}", store=Path(folder), kept=kept)
        server = TttServer(topology, rules, make_grader(grader, topology.task.judge), options)
        ready = f"serving {topology.model.path} on {server.endpoint} (grader {grader}, pad_loss {rules.pad_loss})"
        server.run(lambda: signals.count > 0, lambda: print(f"{ready}; Ctrl-C ends it", flush=True))
    print("stopped")


def served_topology(model: str, overrides: list[str]) -> Topology:
    """Return the topology of a file, or the defaults (the paper's) with a model. Raises ConfigError.

    There is one trainer and one evaluator, each with an engine of its own: nothing proposes here.
    """
    import json
    import tempfile

    from seal_runtime.config.checks import check_topology
    from seal_runtime.config.loading import load_topology

    if model.endswith(_TOPOLOGY_SUFFIXES):
        topology = load_topology(Path(model), overrides)
    else:
        with tempfile.TemporaryDirectory(prefix="seal-ttt-") as folder:
            empty = Path(folder) / "serve-ttt.yaml"
            empty.write_text("{}\n", encoding="utf-8")
            topology = load_topology(empty, [f"model.path={json.dumps(model)}", *overrides])
    roles = {
        "proposer": topology.proposer.model_copy(update={"count": 0, "gpus": ()}),
        "trainer": topology.trainer.model_copy(update={"count": 1}),
        "evaluator": topology.evaluator.model_copy(update={"count": 1, "share_engine": False}),
    }
    # The published drivers write a chat's turns into their texts.
    model_config = topology.model.model_copy(update={"parse_special_tokens": True})
    topology = topology.model_copy(update=roles | {"model": model_config})
    check_topology(topology, require_gpus=True)
    return topology


def _see_one_gpu(topology: Topology) -> None:
    """Let this process see the one GPU that the topology gives it, before torch is imported. Raises ConfigError for more than one."""
    import os

    gpus = sorted({*topology.trainer.gpus, *topology.evaluator.gpus})
    if len(gpus) > 1:
        raise ConfigError(
            f"serve-ttt: expected one GPU for trainer and evaluator together, got {gpus}; give --gpu N, and start one server a GPU "
            "on a port of its own to use more"
        )
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpus[0])
