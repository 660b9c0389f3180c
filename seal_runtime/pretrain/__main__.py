"""Command line: `python -m seal_runtime.pretrain --world fictional --seed 0 --out DIR`."""

import argparse
import sys
from pathlib import Path

from seal_runtime.pretrain.run import PretrainStatus, pretrain
from seal_runtime.pretrain.worlds import WORLDS, make_world


def main() -> None:
    """Parse the command line, train, and print what was made."""
    parser = argparse.ArgumentParser(prog="python -m seal_runtime.pretrain", description="Make a built-in model from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must be new or empty")
    parser.add_argument("--world", choices=WORLDS, default="fictional", help="what the model is about")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and corpus order")
    parser.add_argument("--steps", type=int, default=None, help="optimizer steps; the world's own number when left out")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; the weights depend on it in the last bits")
    arguments = parser.parse_args()
    pretrain(make_world(arguments.world), arguments.out, arguments.seed, arguments.steps, arguments.threads, _print_status)
    sys.stdout.write((arguments.out / "README.md").read_text())


def _print_status(status: PretrainStatus) -> None:
    if status.examination is not None:
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
