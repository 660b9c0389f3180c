"""Prepare the process before any heavy library is imported: devices, threads, its tie to the parent, and whose packages these are.

Invariant: CUDA_VISIBLE_DEVICES is set before torch exists in this process; afterwards it would change nothing.
"""

import ctypes
import importlib.util
import os
import signal
import sys
from pathlib import Path

from agents.errors import AgentError

_PACKAGES = ("agents", "launch", "protocol", "seal_runtime")
_PR_SET_PDEATHSIG = 1


def pin_devices(gpus: tuple[int, ...]) -> None:
    """Show only these GPUs to this process, numbered as nvidia-smi does. None given leaves what the caller's environment says."""
    assert "torch" not in sys.modules, "devices must be pinned before torch is imported"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if gpus:
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(gpu) for gpu in gpus)


def limit_threads(num_threads: int) -> None:
    """Bound the CPU threads of libraries that are not loaded yet, unless the environment already does."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, str(num_threads))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux; elsewhere `seal_runtime.parent_watch` does it)."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the parent process died while this agent started")


def check_packages() -> None:
    """Make sure that our import packages, whose names are general, are those of one distribution.

    Raises AgentError that names the stranger.
    """
    home = Path(__file__).resolve().parent.parent
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        found = None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent
        if found != home / package:
            raise AgentError(
                f"expected the package `{package}` in {home}, found it in {found}: another distribution uses the name; "
                "install seal-runtime in a virtual environment of its own"
            )


def gpu_memory_bytes() -> int:
    """Return the GPU memory that torch holds in this process; 0 when torch or a GPU is not in use."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.memory_reserved())
