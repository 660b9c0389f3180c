"""The controller process: `python -m seal_runtime.controller --run-dir DIR`; it begins the run or takes it up where it stopped.

Exit codes: 0 done, 2 could not begin (nothing was done), 3 stopped by the user, 4 failed. Any other end is a death, and a new controller
on the same directory resumes.
"""

import argparse
import contextlib
import os
import resource
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import structlog

from protocol.errors import SealError
from protocol.security import write_connection_file
from seal_runtime.config.loading import load_resolved
from seal_runtime.config.topology import Topology
from seal_runtime.controller.commands import EndPhase, Finish
from seal_runtime.controller.listening import listen
from seal_runtime.controller.lost_adapters import forget_built_on_lost
from seal_runtime.controller.recovery import committed_records, finish_before, open_history
from seal_runtime.controller.service import ControllerService
from seal_runtime.controller.state import RunState
from seal_runtime.errors import ConfigError
from seal_runtime.ledger import Ledger, LedgerReader
from seal_runtime.logging import configure_logging
from seal_runtime.parent_watch import follow_parent
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.store.log_file import Rotation
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.store.sweep import sweep_dead, sweep_store
from seal_runtime.tasks.registry import make_task

log = structlog.get_logger()

EXIT_CODES: dict[EndPhase, int] = {"done": 0, "stopped": 3, "failed": 4}
EXIT_USAGE = 2
NONCE_FILE = ".nonce"


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m seal_runtime.controller", description="Control one run of seal-runtime.")
    parser.add_argument("--run-dir", type=Path, required=True, help="run directory that holds topology.resolved.yaml")
    parser.add_argument("--console", action="store_true", help="also print readable log lines on stderr")
    options = parser.parse_args(arguments)
    follow_parent()
    _allow_open_files()
    stop = _StopSignals()
    try:
        finish = run_controller(options.run_dir, stop.reason, console=options.console)
    except SealError as error:
        _complain(str(error))
        return EXIT_USAGE
    if finish.phase == "failed":
        _complain(finish.reason)
    return EXIT_CODES[finish.phase]


def _allow_open_files() -> None:
    """Take what the hard limit allows: every agent is a connection, and the usual soft limit of 1,024 would refuse the thousandth."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS names no hard limit and refuses to take it as a soft one.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _complain(text: str) -> None:
    """Say what went wrong; the exit code matters more, when stderr is a file on the very disk that is full."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"error: {text}\n")
        sys.stderr.flush()


def run_controller(run_dir: Path, stop_reason: Callable[[], str | None], *, console: bool) -> Finish:
    """Control the run in `run_dir` to its end. Raises SealError when it cannot begin."""
    run = RunDirectory(run_dir)
    topology = load_resolved(run.topology)
    _create(run)
    run_id = topology.run.name
    rotation = Rotation(max_bytes=topology.run.log_max_bytes, num_kept=topology.run.log_files_kept)
    log_file = run.log("controller")
    configure_logging(role="controller", agent="controller", run=run_id, log_file=log_file, console=console, rotation=rotation)
    ledger = Ledger(run.ledger)
    try:
        return _serve(topology, run, ledger, stop_reason)
    except SealError as error:
        log.error("controller_failed", reason=str(error))
        raise
    finally:
        ledger.close()


def _serve(topology: Topology, run: RunDirectory, ledger: Ledger, stop_reason: Callable[[], str | None]) -> Finish:
    finish = finish_before(ledger)
    if finish is not None:
        log.info("run_done_already", reason=finish.reason)
        run.connection.unlink(missing_ok=True)
        _sweep_after(run, topology, finish)
        return finish
    run_id, task = topology.run.name, make_task(topology.task)
    store = AdapterStore(run.adapters)
    _sweep_before(run)
    history = open_history(ledger, run, store, run_id=run_id, now=time.time())
    with LedgerReader(run.ledger) as reader:
        forget_built_on_lost(ledger, reader, store, topology, task)
    state = RunState(
        topology=topology,
        task=task,
        run_id=run_id,
        epoch=history.epoch,
        started_at=history.started_at,
        active_seconds=history.active_seconds,
    )
    with LedgerReader(run.ledger) as reader:
        commands = state.begin(time.monotonic(), committed_records(reader))
    nonce = _nonce(run.adapters / NONCE_FILE)
    socket = listen(topology.bus, run, run_id=run_id)
    try:
        write_connection_file(socket.connection, run.connection)
        log.info("controller_started", endpoint=socket.endpoint, pid=os.getpid(), epoch=history.epoch)
        service = ControllerService(topology=topology, run=run, state=state, ledger=ledger, store=store, store_nonce=nonce, socket=socket)
        finish = service.serve(commands, stop_reason)
    finally:
        run.connection.unlink(missing_ok=True)
        socket.close()
    _sweep_after(run, topology, finish)
    return finish


def _create(run: RunDirectory) -> None:
    try:
        run.create()
    except OSError as error:
        raise ConfigError(
            f"cannot make the run directory {run.root}: {error.strerror}; choose another run.dir or free disk space"
        ) from error


def _nonce(path: Path) -> str:
    """Return the store's nonce, made once: who reads the same shares the disk."""
    try:
        if not path.is_file():
            path.write_text(secrets.token_hex(16), encoding="utf-8")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; is the disk full or read-only?") from error


def _sweep_before(run: RunDirectory) -> None:
    """Remove what was left by the controllers before (the ledger's lock says that none is alive) and by dead agents.

    Uploads that were under way stay: their agents may go on with them.
    """
    for private in (run.connection, run.keys):
        for staging in run.root.glob(f".{private.name}.*"):
            staging.unlink(missing_ok=True)
    sweep_dead(run)


def _sweep_after(run: RunDirectory, topology: Topology, finish: Finish) -> None:
    if finish.phase == "done":
        sweep_store(run, keep_adapters=topology.run.keep_adapters == "all")
    else:
        sweep_dead(run)


class _StopSignals:
    """Remembers SIGTERM and SIGINT; the service asks between two turns of its loop."""

    def __init__(self) -> None:
        self._name: str | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def reason(self) -> str | None:
        """Return why the run shall stop, None when it shall not."""
        return None if self._name is None else f"the controller received {self._name}"

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._name = signal.Signals(number).name


if __name__ == "__main__":
    sys.exit(main())
