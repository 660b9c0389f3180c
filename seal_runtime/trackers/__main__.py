"""The trackers' process: `python -m seal_runtime.trackers --run-dir DIR`. The launcher starts it beside the run and ends it with SIGTERM.

A process of its own, because these libraries wait for networks, start children and threads, and may crash: none of it may touch a run.
"""

import argparse
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import structlog

from seal_runtime.config.loading import load_resolved
from seal_runtime.logging import configure_logging
from seal_runtime.parent_watch import follow_parent
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.trackers.feed import Feed
from seal_runtime.trackers.registry import OPENERS

log = structlog.get_logger()

POLL_SECONDS = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Follow the run's metrics until SIGTERM, then send the rest. Returns 0."""
    parser = argparse.ArgumentParser(prog="python -m seal_runtime.trackers", description="Send a run's figures to its trackers.")
    parser.add_argument("--run-dir", type=Path, required=True, help="run directory that holds topology.resolved.yaml")
    options = parser.parse_args(arguments)
    follow_parent()
    leave = threading.Event()

    def asked(number: int, frame: FrameType | None) -> None:
        leave.set()

    signal.signal(signal.SIGTERM, asked)
    run = RunDirectory(options.run_dir)
    topology = load_resolved(run.topology)
    configure_logging(role="trackers", agent="trackers", run=topology.run.name, log_file=run.log("trackers"), console=False)
    feed = Feed(run, topology.model_dump(mode="json"), {name: OPENERS[name] for name in topology.run.trackers})
    while not leave.is_set() and not feed.is_empty:
        feed.advance()
        leave.wait(POLL_SECONDS)
    feed.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
