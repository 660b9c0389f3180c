"""One disturbed run for all tests that look at what such a run leaves behind."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chaos_runs import NUM_INJECTIONS, TOPOLOGY, chaos


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the topology `tiny.yaml`."""
    folder = tmp_path_factory.mktemp("chaos")
    (folder / "tiny.yaml").write_text(TOPOLOGY)
    return folder


@pytest.fixture(scope="session")
def finished(workplace: Path) -> dict[str, Any]:
    """The report of a run with every kind of disturbance; `exit_code` and `stderr` are the command's."""
    result = chaos("tiny.yaml", "--kills", str(NUM_INJECTIONS), "--seed", "4", "--stall-seconds", "90", "--json", cwd=workplace)
    assert result.stdout, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report | {"exit_code": result.returncode, "stderr": result.stderr}
