"""Check a topology before any process starts: what its sections ask of each other and of this machine.

Looks at names, files and `nvidia-smi` only; torch, transformers and datasets stay unimported, and the network untouched.
The task's data is read by `seal_runtime.tasks.registry.make_checked_task`.
"""

import importlib.util
import ipaddress
import os
import re
from pathlib import Path

from protocol.jobs import Role
from seal_runtime.config.agent_checks import check_agents
from seal_runtime.config.arc_checks import check_arc
from seal_runtime.config.document_checks import check_documents
from seal_runtime.config.engine_sharing import host_section
from seal_runtime.config.findings import Findings
from seal_runtime.config.grader_checks import check_grader
from seal_runtime.config.hyperparameters import LoraConfig
from seal_runtime.config.metrics_address import parse_metrics_address
from seal_runtime.config.model_checks import check_model
from seal_runtime.config.problems import config_error
from seal_runtime.config.references import BUILTIN_TASKS, DATA_FILE_SUFFIXES, hub_data_reference, is_data_file, task_class
from seal_runtime.config.topology import TaskConfig, Topology
from seal_runtime.errors import ConfigError

MIN_HEARTBEATS = 3
"""Heartbeats that must fit into agent_timeout_seconds, so that one lost in a busy second gives nobody up."""
MAX_IPC_PATH_BYTES = 107
FEW_CONTEXTS = 10
MODEL_ROLES: tuple[Role, ...] = ("proposer", "trainer", "evaluator")

_TCP = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:\s/]+):(?P<port>\d{1,5}|\*)")
_LOOPBACK_NAMES = ("localhost", "lo")


def check_topology(topology: Topology, *, require_gpus: bool) -> list[str]:
    """Return warnings; raise one ConfigError that lists every problem.

    With `require_gpus` the run shall start on this machine: missing GPUs, engines and cached models are errors. Without it
    they are warnings, for a topology that is written here and launched elsewhere.
    """
    findings = Findings()
    check_agents(topology, findings, require_gpus=require_gpus)
    check_model(topology, findings, require_hub=require_gpus)
    _check_task(topology.task, findings)
    check_arc(topology, findings)
    _check_lora("trainer.lora", topology.trainer.lora, findings)
    _check_lora("algorithm.lora", topology.algorithm.lora, findings)
    _check_lora("evaluation.cpt.lora", topology.evaluation.cpt.lora, findings)
    check_documents(topology, findings)
    _check_bus(topology, findings)
    _check_trackers(topology, findings)
    _check_learning(topology, findings)
    if findings.errors:
        raise config_error(f"run {topology.run.name}", findings.errors)
    return findings.warnings


def _check_task(task: TaskConfig, findings: Findings) -> None:
    if task.name not in BUILTIN_TASKS:
        try:
            task_class(task.name)
        except ConfigError as error:
            findings.error("task.name", str(error))
    elif task.options:
        findings.error("task.options", f"expected none for the built-in task {task.name}, got {', '.join(task.options)}; remove them")
    if task.name == "squad":
        _check_data("task.data", task.data, findings)
        if task.edits is not None:
            _check_data("task.edits", task.edits, findings)
        check_grader(task, findings)
        return
    unread = [key for key, value in (("data", task.data), ("limit", task.limit), ("edits", task.edits)) if value is not None]
    if unread:
        findings.error(
            f"task.{unread[0]}",
            f"expected nothing, because only task squad reads it and the task is {task.name}; set task.name=squad or remove it",
        )


def _check_data(key: str, data: str | None, findings: Findings) -> None:
    if not data:
        findings.error(key, "expected a file or a hub data set for task squad, got nothing; try examples/data/passages.json")
        return
    if not is_data_file(data):
        try:
            hub_data_reference(data)
        except ConfigError as error:
            findings.error(key, str(error))
        return
    path = Path(data).expanduser()
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        findings.error(key, f"expected a file at {path}, found {found}; relative paths start at the working directory {Path.cwd()}")
    elif not os.access(path, os.R_OK):
        findings.error(key, f"expected a readable file at {path}, got one without read permission")
    elif path.suffix.lower() not in DATA_FILE_SUFFIXES:
        findings.warn(key, f"{path.name} has none of the suffixes {', '.join(DATA_FILE_SUFFIXES)}; it is read as JSON")


def _check_lora(key: str, lora: LoraConfig, findings: Findings) -> None:
    bad = [target for target in lora.targets if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", target)]
    if bad:
        findings.error(f"{key}.targets", f"expected module names such as q_proj, got {bad}")
    twice = sorted({target for target in lora.targets if lora.targets.count(target) > 1})
    if twice:
        findings.error(f"{key}.targets", f"expected each module once, got {', '.join(twice)} more than once")


def _check_bus(topology: Topology, findings: Findings) -> None:
    bus = topology.bus
    if bus.agent_timeout_seconds < MIN_HEARTBEATS * bus.heartbeat_seconds:
        findings.error(
            "bus.agent_timeout_seconds",
            f"expected at least {MIN_HEARTBEATS} heartbeats of {bus.heartbeat_seconds} s, got {bus.agent_timeout_seconds} s",
        )
    _check_metrics_bind(bus.metrics_bind, findings)
    if bus.bind.startswith("ipc://"):
        length = len(os.fsencode(bus.bind.removeprefix("ipc://")))
        if not 0 < length <= MAX_IPC_PATH_BYTES:
            findings.error("bus.bind", f"expected ipc:// and a path of 1 to {MAX_IPC_PATH_BYTES} bytes, got {length}; choose a shorter one")
        return
    match = _TCP.fullmatch(bus.bind)
    if match is None or (match["port"] != "*" and int(match["port"]) > 65_535):
        findings.error("bus.bind", f"expected tcp://HOST:PORT with a port up to 65535, or ipc://PATH, got {bus.bind!r}")
    elif not _is_loopback(match["host"]):
        if not bus.curve:
            findings.error("bus.curve", f"expected true, because {bus.bind} can be reached from other hosts; anyone there could send jobs")
        if topology.bus.bind.startswith("tcp://0.0.0.0") or match["host"] == "*":
            findings.warn("bus.bind", "the bus listens on every network interface of this host")


def _check_metrics_bind(bind: str, findings: Findings) -> None:
    if not bind:
        return
    try:
        host, _ = parse_metrics_address(bind)
    except ValueError as error:
        findings.error("bus.metrics_bind", f"{error}, or nothing to serve no metrics")
        return
    if not _is_loopback(host):
        findings.warn("bus.metrics_bind", f"whoever reaches {bind} can read how the run goes; nobody is asked for a password")


def _is_loopback(host: str) -> bool:
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_trackers(topology: Topology, findings: Findings) -> None:
    for name in topology.run.trackers:
        if importlib.util.find_spec(name) is None:
            findings.warn("run.trackers", f"{name} is not installed and is left out; `pip install 'seal-runtime[{name}]'` adds it")
    if topology.bus.metrics_bind and importlib.util.find_spec("prometheus_client") is None:
        findings.warn("bus.metrics_bind", "prometheus-client is not installed, so there are none; `pip install 'seal-runtime[prometheus]'`")


def _check_learning(topology: Topology, findings: Findings) -> None:
    algorithm, sampling, evaluation = topology.algorithm, topology.proposer.sampling, topology.evaluation
    if algorithm.edits_per_context == 1 and algorithm.select == "best":
        findings.warn("algorithm.edits_per_context", "with one edit a context the best is the only one: nothing is selected")
    if sampling.temperature == 0.0 and algorithm.edits_per_context > 1:
        findings.warn("proposer.sampling.temperature", "0 is greedy: all edits of a context will be the same")
    if 0 < evaluation.num_contexts < FEW_CONTEXTS:
        findings.warn(
            "evaluation.num_contexts", f"{evaluation.num_contexts} held-out contexts give wide error bars; use 40 or more to compare"
        )
    if topology.model.dtype == "float16" and any(not host_section(topology, role).gpus for role in MODEL_ROLES):
        findings.warn("model.dtype", "float16 on CPU is slow and overflows easily; use float32 or auto")
