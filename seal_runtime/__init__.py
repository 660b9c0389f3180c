"""seal-runtime: run SEAL (self-adapting language models) as independent processes on a message bus."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seal_runtime.run.api import Run as Run

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `Run` when it is first asked for, so that `import seal_runtime` costs nothing."""
    if name == "Run":
        from seal_runtime.run.api import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
