"""`logs` and `story` on a real run, in a real terminal: agents of other hosts, rotation while somebody follows, 80 columns."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from live_runs import DEADLINE_SECONDS, TOPOLOGY, command, environment, launched, running, seal, until
from terminal import STYLE, backends, plain, screen_of

from seal_runtime.ledger import LedgerReader

SMALL_FILES = ("--set", "run.log_max_bytes=20000", "--set", "run.log_files_kept=99")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("observing")
    (folder / "tiny.yaml").write_text(TOPOLOGY)
    return folder


@pytest.fixture(scope="module")
def finished(workplace: Path) -> Path:
    answer = launched("launch", "tiny.yaml", "--name", "short", "--no-live", cwd=workplace)
    assert answer.returncode == 0, answer.stderr
    return workplace


@pytest.fixture
def far_folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    left = [path.name for path in tmp_path.iterdir() if path.name == "logs"]
    assert left == [], "an agent elsewhere makes no log folder of its own"


def written(logs: Path) -> list[str]:
    return [line for path in logs.glob("*.jsonl*") for line in path.read_text().splitlines()]


def test_a_follower_sees_far_agents_and_misses_nothing_while_files_rotate(workplace: Path, far_folder: Path) -> None:
    logs, output = workplace / "runs" / "far" / "logs", far_folder / "followed.jsonl"
    with running(workplace, "far", *SMALL_FILES):
        copied = far_folder / "copied.json"
        shutil.copy(workplace / "runs" / "far" / "connection.json", copied)
        with output.open("w") as stream:
            follower = subprocess.Popen(command("logs", "far", "-f", "--json"), cwd=workplace, env=environment(), stdout=stream)
        options = ("--connection", str(copied), "--store", str(far_folder / "own"), "--name", "distant")
        agent = subprocess.Popen(
            command("attach", "trainer", *options), cwd=far_folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: output.read_text().count('"agent": "distant"') > 20, "the far agent's lines are followed")
            until(lambda: len(list(logs.glob("*.jsonl.1"))) > 1, "files are rotated")
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(DEADLINE_SECONDS)
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while Counter(output.read_text().splitlines()) != Counter(written(logs)):
            assert time.monotonic() < deadline, Counter(written(logs)) - Counter(output.read_text().splitlines())
            time.sleep(0.2)
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(DEADLINE_SECONDS) == 0
    assert (logs / "distant.jsonl").exists()
    events = [json.loads(line) for line in output.read_text().splitlines() if '"agent": "distant"' in line]
    assert {event["role"] for event in events} == {"trainer"}
    assert {"agent_joined", "agent_ready", "job_started"} <= {event["event"] for event in events}
    sizes = [path.stat().st_size for path in logs.glob("*.jsonl*") if not path.name.startswith("launch")]
    assert max(sizes) <= 20_000
    everything = seal("logs", "far", "--json", cwd=workplace).stdout.splitlines()
    assert Counter(everything) == Counter(written(logs))
    times = [json.loads(line)["time"] for line in everything]
    assert sum(later < earlier for earlier, later in itertools.pairwise(times)) <= len(times) // 1000


@pytest.mark.parametrize("backend", backends())
def test_logs_in_a_terminal_are_coloured_unless_that_is_not_wanted(finished: Path, backend: str) -> None:
    argv = command("logs", "short", "-n", "15")
    colored = screen_of(backend, argv, finished, environment(), columns=200)
    plain_screen = screen_of(backend, argv, finished, environment() | {"NO_COLOR": "1"}, columns=200)
    assert STYLE.search(colored)
    assert not STYLE.search(plain_screen)
    shown = [line for line in plain(colored) if line]
    assert shown == [line for line in plain(plain_screen) if line]
    assert any("run_ended" in line for line in shown)


@pytest.mark.parametrize("backend", backends())
def test_a_story_fits_a_terminal_of_80_columns(finished: Path, backend: str) -> None:
    with LedgerReader(finished / "runs" / "short" / "ledger.sqlite") as reader:
        edit = next(job_id for job_id in reader.job_ids("evaluate") if job_id.startswith("round-1/"))
    screen = screen_of(backend, command("story", edit, "short"), finished, environment())
    lines = plain(screen)
    assert STYLE.search(screen)
    assert lines[0].startswith(edit.removesuffix("/r0/evaluate"))
    assert max(map(len, lines)) <= 80
    headings = [line.split("  ")[0] for line in lines if line and not line.startswith(" ")]
    expected = ["Context", "Prompt", "Text", "Training sequences", "Training", "Questions", "Credit", "Policy", "Attempts"]
    assert [name for name in headings if name in expected] == expected
    piped = seal("story", edit, "short", cwd=finished).stdout
    assert not STYLE.search(piped)
    assert [line for line in piped.splitlines() if line] == [line for line in lines if line]


def test_a_closed_pipe_ends_the_commands_quietly(finished: Path) -> None:
    shell = f"{' '.join(command('logs', 'short'))} | head -n 1"
    result = subprocess.run(["sh", "-c", shell], cwd=finished, env=environment(), capture_output=True, text=True, timeout=60, check=True)
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == ""
