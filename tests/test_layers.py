"""The layers of the design: imports go down only, and what must start fast starts without the heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformers", "peft", "vllm", "datasets", "ray"}

# Which of our packages each layer may import (itself always).
ALLOWED: dict[str, set[str]] = {
    "protocol": set(),
    "seal_runtime/tasks": {"protocol", "seal_runtime.config"},
    "seal_runtime/algorithms": {"protocol", "seal_runtime.config"},
    "seal_runtime/config": {"protocol", "seal_runtime.models"},
    "seal_runtime/ledger": {"protocol"},
    "seal_runtime/store": {"protocol"},
    "seal_runtime/metrics": {"protocol"},
    "seal_runtime/alarms": {"protocol"},
    "seal_runtime/models": {"protocol"},
    "seal_runtime/engines": {"protocol", "seal_runtime.store", "seal_runtime.models", "seal_runtime.config"},
    "seal_runtime/controller": {
        "protocol", "seal_runtime.tasks", "seal_runtime.algorithms", "seal_runtime.config", "seal_runtime.ledger", "seal_runtime.store",
        "seal_runtime.metrics", "seal_runtime.alarms",
    },
    "agents": {
        "protocol", "seal_runtime.tasks", "seal_runtime.algorithms", "seal_runtime.config", "seal_runtime.store", "seal_runtime.engines",
    },
    "launch": {"protocol", "seal_runtime.config", "seal_runtime.store", "seal_runtime.ledger"},
    "seal_runtime/chaos": {
        "protocol", "launch", "seal_runtime.tasks", "seal_runtime.config", "seal_runtime.controller", "seal_runtime.ledger",
        "seal_runtime.store",
    },
    "seal_runtime/top": {"protocol", "launch"},
    "seal_runtime/trackers": {"protocol", "seal_runtime.config", "seal_runtime.metrics", "seal_runtime.store"},
    "seal_runtime/bench": {
        "protocol", "seal_runtime.tasks", "seal_runtime.config", "seal_runtime.engines", "seal_runtime.ledger", "seal_runtime.store",
        "seal_runtime.report", "seal_runtime.models", "seal_runtime.algorithms",
    },
    "seal_runtime/planning": {
        "protocol", "seal_runtime.tasks", "seal_runtime.config", "seal_runtime.controller", "seal_runtime.engines", "seal_runtime.ledger",
        "seal_runtime.store", "seal_runtime.report", "seal_runtime.models", "seal_runtime.algorithms", "seal_runtime.bench",
    },
    "seal_runtime/story": {
        "protocol", "seal_runtime.tasks", "seal_runtime.config", "seal_runtime.controller", "seal_runtime.ledger", "seal_runtime.store",
        "seal_runtime.report",
    },
    "seal_runtime/report": {
        "protocol", "seal_runtime.tasks", "seal_runtime.algorithms", "seal_runtime.config", "seal_runtime.ledger", "seal_runtime.store",
        "seal_runtime.alarms",
    },
    "seal_runtime/run": {
        "protocol", "seal_runtime.tasks", "seal_runtime.algorithms", "seal_runtime.config", "seal_runtime.ledger", "seal_runtime.store",
        "seal_runtime.report", "seal_runtime.story",
    },
    "seal_runtime/ttt_server": {
        "protocol", "agents", "seal_runtime.tasks", "seal_runtime.config", "seal_runtime.store", "seal_runtime.engines",
    },
    "seal_runtime/seal": {"protocol", "seal_runtime.tasks", "seal_runtime.config", "seal_runtime.ledger"},
}  # fmt: skip
COMMON = {
    "seal_runtime", "seal_runtime.errors", "seal_runtime.seeds", "seal_runtime.logging", "seal_runtime.calls", "seal_runtime.own_modules",
    "seal_runtime.parent_watch",
}  # fmt: skip


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            if node.module == "seal_runtime":
                names |= {f"seal_runtime.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in {"agents", "launch", "protocol", "seal_runtime"}}


@pytest.mark.parametrize("layer", sorted(ALLOWED))
def test_imports_go_down_only(layer: str) -> None:
    own = layer.replace("/", ".")
    allowed = {*ALLOWED[layer], own}
    for path in sorted((ROOT / layer).rglob("*.py")):
        for name in _imports(path):
            in_allowed = any(name == package or name.startswith(f"{package}.") for package in allowed)
            is_common = name in COMMON and layer != "protocol"
            assert in_allowed or is_common, f"{path.relative_to(ROOT)} imports {name}, which lies above or beside its layer"


@pytest.mark.parametrize(
    "module",
    ["protocol.router", "protocol.channel", "seal_runtime.cli", "seal_runtime.controller.service", "seal_runtime.config.checks",
     "launch.local", "agents.critic", "seal_runtime.bench.controller", "seal_runtime.report.summary", "seal_runtime.run",
     "seal_runtime.tasks.registry", "seal_runtime.tasks.fictional"],
)  # fmt: skip
def test_light_modules_start_without_heavy_libraries(module: str) -> None:
    code = f"import sys, {module}; print(sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]", f"importing {module} loads {result.stdout.strip()}"
