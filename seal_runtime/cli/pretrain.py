"""`seal-runtime pretrain`: make a built-in model again from nothing."""

from pathlib import Path
from typing import Annotated

import typer

from seal_runtime.errors import ConfigError


def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for the model, in Hugging Face format; new or empty.", show_default=False)],
    world: Annotated[str, typer.Option(help="What the model is about: fictional (seal-tiny) or grids (seal-tiny-grids).")] = "fictional",
    seed: Annotated[int, typer.Option(help="Seed of weights and corpus order.", min=0)] = 0,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps; the recipe's own number when left out.", min=1)] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; the weights depend on it in the last bits.", min=1)] = 1,
) -> None:
    """Train a built-in tiny model: tokenizer, weights and model card. Takes about a quarter of an hour on one core."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"expected a new or empty folder, got {out} with something in it; name another one or remove it")
    from seal_runtime.pretrain.run import PretrainStatus
    from seal_runtime.pretrain.run import pretrain as train
    from seal_runtime.pretrain.worlds import make_world

    def show(status: PretrainStatus) -> None:
        if status.examination is not None:
            print(status, flush=True)

    train(make_world(world), out, seed, steps, threads, show)
    print((out / "README.md").read_text(encoding="utf-8"))
