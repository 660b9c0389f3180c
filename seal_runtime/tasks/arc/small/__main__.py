"""Command line: `python -m seal_runtime.tasks.arc.small --out DIR` writes the puzzles that are shipped in examples/data/small-grids."""

import argparse
import sys
from pathlib import Path

from seal_runtime.tasks.arc.small.files import write_puzzles


def main() -> None:
    """Parse the command line, write the files, and print their paths."""
    parser = argparse.ArgumentParser(prog="python -m seal_runtime.tasks.arc.small", description="Write puzzles of small grids.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="seed of rules and grids")
    arguments = parser.parse_args()
    for path in write_puzzles(arguments.out, arguments.seed):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
