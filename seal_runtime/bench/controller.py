"""How many jobs a second the controller gives out and commits, how long agents wait for it, and what it costs.

A real controller process with its ledger on disk, real sockets, and simulated agents in processes of their own (`controller_agents`):
everything of a run except the models. The same is done for a tenth of the jobs, so that what grows faster than the jobs shows.
"""

import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from protocol.errors import ChannelTimeout
from protocol.jobs import Role
from protocol.messages import StatusReply, StatusRequest
from protocol.observer import ObserverClient
from protocol.security import read_connection_file
from seal_runtime.bench.child import Child
from seal_runtime.bench.controller_load import ControllerLoad
from seal_runtime.bench.controller_results import ControllerResult, ControllerRun, measured_run
from seal_runtime.config.loading import dump_topology
from seal_runtime.errors import ConfigError
from seal_runtime.own_modules import module_command
from seal_runtime.store.run_directory import RunDirectory

START_SECONDS = 60.0
JOIN_SECONDS = 300.0
GO_FILE = "go"
WATCH_SECONDS = 1.0
ANSWER_SECONDS = 5.0
END_SECONDS = 60.0
FILES_PER_AGENT = 3
"""Of a process that hosts agents: a socket's connection, its mailbox, and some air; the controller needs one each."""
SPARE_FILES = 256

Tell = Callable[[str], None]


def run_controller_bench(load: ControllerLoad, *, num_processes: int, folder: Path | None, tell: Tell) -> ControllerResult:
    """Measure a tenth of the jobs, then all. `folder` keeps the run directories; None uses a temporary one.

    Raises ConfigError when this machine does not allow so many open files, LaunchError when a process fails.
    """
    allow_open_files(-(-load.num_agents // num_processes) * FILES_PER_AGENT + SPARE_FILES)
    tenth = replace(load, num_jobs=max(1, load.num_jobs // 10))
    root = folder or Path(tempfile.mkdtemp(prefix="seal-bench-controller-"))
    try:
        runs = [_measure(part, num_processes, root / f"jobs-{part.num_jobs}", tell) for part in (tenth, load)]
    finally:
        if folder is None:
            shutil.rmtree(root, ignore_errors=True)
    return ControllerResult(num_processes=num_processes, curve=load.curve, tenth=runs[0], whole=runs[1])


def allow_open_files(wanted: int) -> None:
    """Raise this process's limit on open files, which its children inherit. Raises ConfigError when the hard limit is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise ConfigError(
            f"expected room for {wanted} open files in one process, the hard limit is {hard}; raise it (`ulimit -Hn`, as root), "
            "simulate fewer --agents, or spread them over more --processes"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _measure(load: ControllerLoad, num_processes: int, run_dir: Path, tell: Tell) -> ControllerRun:
    run = RunDirectory(run_dir)
    run.create()
    run.topology.write_text(dump_topology(load.topology()), encoding="utf-8")
    tell(f"{load.total_jobs:,} jobs, {load.num_agents:,} agents in {num_processes} process(es) ...")
    children: list[Child] = []
    try:
        controller = Child([*module_command("seal_runtime.controller"), "--run-dir", str(run.root)])
        children.append(controller)
        controller.wait("did not listen", run.connection.exists, START_SECONDS)
        outs = [run.root / f"agents-{index}.json" for index in range(num_processes)]
        agents = load.agents()
        for index, out in enumerate(outs):
            children.append(_agents_process(load, agents[index::num_processes], run, out))
        for child, out in zip(children[1:], outs, strict=True):
            child.wait("did not bring its agents in", out.with_suffix(".joined").exists, JOIN_SECONDS)
        (run.root / GO_FILE).touch()
        _watch(run, children, tell)
        for child in children:
            child.wait("did not end with the run", child.has_ended, END_SECONDS)
        assert controller.usage is not None, "it has ended"
        seen = [json.loads(out.read_text(encoding="utf-8")) for out in outs]
        return measured_run(load, seen, controller.usage, run.ledger.stat().st_size, run.log("controller").stat().st_size)
    finally:
        for child in children:
            child.kill()


def _agents_process(load: ControllerLoad, agents: list[tuple[Role, str]], run: RunDirectory, out: Path) -> Child:
    options = ["--connection", str(run.connection), "--capacity", str(load.capacity), "--job-seconds", str(load.job_seconds)]
    options += ["--joined", str(out.with_suffix(".joined")), "--go", str(run.root / GO_FILE), "--out", str(out)]
    return Child([*module_command("seal_runtime.bench.controller_agents"), *options], json.dumps(agents))


def _watch(run: RunDirectory, children: Sequence[Child], tell: Tell) -> None:
    """Ask for the status every second, as the live view of a launch does, until the run is over."""
    with ObserverClient(read_connection_file(run.connection)) as observer:
        while not any(child.has_ended() for child in children):
            with suppress(ChannelTimeout):
                reply = observer.request(StatusRequest(), ANSWER_SECONDS)
                if isinstance(reply, StatusReply):
                    status = reply.status
                    if status.phase in ("done", "failed"):
                        return
                    tell(f"  {status.items_done:,} of {status.items_total:,} self-edits scored, {len(status.agents):,} agents")
            time.sleep(WATCH_SECONDS)
