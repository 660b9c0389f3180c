"""Command line: `python -m seal_runtime.pretrain --seed 0 --out DIR`."""

import argparse
import sys
from pathlib import Path

from seal_runtime.pretrain.run import PretrainStatus, pretrain
from seal_runtime.pretrain.training import DEFAULT_STEPS


def main() -> None:
    """Parse the command line, train, and print what was made."""
    parser = argparse.ArgumentParser(prog="python -m seal_runtime.pretrain", description="Make the built-in model from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must be new or empty")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and corpus order")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS, help="optimizer steps")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; the weights depend on it in the last bits")
    arguments = parser.parse_args()
    report = pretrain(arguments.out, arguments.seed, arguments.steps, arguments.threads, _print_status)
    sys.stdout.write((report.folder / "README.md").read_text())


def _print_status(status: PretrainStatus) -> None:
    exam = status.examination
    if exam is not None:
        sys.stdout.write(
            f"step {status.step}/{status.num_steps}  {status.seconds:.0f} s  {status.num_tokens / 1e6:.2f} M tokens  "
            f"loss {status.long_loss:.3f} / {status.short_loss:.3f}  known {exam.known:.3f}  open-book {exam.open_book:.3f}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
