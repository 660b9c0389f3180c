"""The command line. `main` is the entry point `seal-runtime`; commands import what they need when they run."""

import os
import sys

EXIT_ERROR, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141


def main() -> None:
    """Run the command line and exit. An error of ours is one line on stderr and exit code 2; SEAL_DEBUG=1 shows the traceback."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output left (`seal-runtime logs | head`); Python would complain again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)


def _run() -> None:
    from protocol.errors import SealError
    from seal_runtime.cli.app import app

    try:
        app(prog_name="seal-runtime")
    except SealError as error:
        if os.environ.get("SEAL_DEBUG") == "1":
            raise
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_ERROR)
