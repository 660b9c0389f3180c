"""`seal-runtime bench`: how fast is the inner loop on this machine, and where does a whole run spend its time."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_runtime.errors import ConfigError

if TYPE_CHECKING:
    from seal_runtime.config.topology import Topology


class ClockChoice(StrEnum):
    """What seconds are."""

    wall = "wall"
    cpu = "cpu"


bench = typer.Typer(help="Measure this machine.", no_args_is_help=True)


@bench.command("inner-loop")
def inner_loop(
    topology: Annotated[Path | None, typer.Option(help="Take model, LoRA and optimiser from a topology file.")] = None,
    model: Annotated[str | None, typer.Option(help="Folder, hub name, builtin:NAME or random:ARCHITECTURE.")] = None,
    edits: Annotated[
        Path | None, typer.Option(help="Published self-edits: a JSON list of {title, context, questions, completions}.")
    ] = None,
    num_edits: Annotated[int, typer.Option(help="Edits to train on.", min=1)] = 32,
    serial_edits: Annotated[int, typer.Option(help="Edits for each arm that trains one adapter at a time.", min=1)] = 4,
    slots: Annotated[str, typer.Option(help="Numbers K of adapters trained at once.")] = "1,4,8,16,32",
    lora_rank: Annotated[int | None, typer.Option(help="LoRA rank; alpha is scaled with it.", min=1)] = None,
    targets: Annotated[str | None, typer.Option(help="LoRA targets, such as q_proj,v_proj.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.", min=0.0)] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over each edit.", min=1)] = None,
    max_length: Annotated[int, typer.Option(help="What the reference pads to, cut to the model's context.", min=8)] = 2048,
    pad_loss: Annotated[str | None, typer.Option(help="The batched arms' padding in the loss: none, eos, full or sampled:M.")] = None,
    max_tokens_per_step: Annotated[int | None, typer.Option(help="Bound on the tokens of one packed step.", min=64)] = None,
    loss_chunk_tokens: Annotated[int | None, typer.Option(help="Positions whose logits exist at once.", min=64)] = None,
    activation_checkpointing: Annotated[
        bool | None, typer.Option("--activation-checkpointing/--no-activation-checkpointing", help="Recompute blocks in the backward pass.")
    ] = None,
    answers: Annotated[bool, typer.Option("--answers/--no-answers", help="Also answer each edit's questions.")] = False,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer in tokens.", min=1)] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N; auto takes a GPU where there is one.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Precision of the base; auto: float32 on CPU, bfloat16 on CUDA.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads, for all arms.", min=1)] = 1,
    clock: Annotated[ClockChoice, typer.Option(help="cpu: CPU seconds, for one thread on a busy machine.")] = ClockChoice.wall,
    skip_reference: Annotated[bool, typer.Option("--skip-reference", help="Only the batched arms.")] = False,
    parity: Annotated[bool, typer.Option("--parity/--no-parity", help="Compare the weights with PEFT + Trainer in float32.")] = True,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train the same self-edits the published code's way, with PEFT by hand, and in batches of K; print times, ratios and parity."""
    from seal_runtime.bench.inner_loop import run_inner_loop
    from seal_runtime.bench.preparation import InnerLoopPlan
    from seal_runtime.bench.table import format_inner_loop

    chosen = chosen_topology(topology, model)
    trainer = chosen.trainer
    lora, optim = trainer.lora, trainer.optim
    if lora_rank is not None:
        lora = lora.model_copy(update={"rank": lora_rank, "alpha": lora.alpha * lora_rank / lora.rank})
    if targets is not None:
        lora = lora.model_copy(update={"targets": tuple(name.strip() for name in targets.split(",") if name.strip())})
    on = chosen_device(device)
    plan = InnerLoopPlan(
        model=chosen.model.path,
        device=on,
        dtype=dtype if dtype != "auto" else "float32" if on == "cpu" else "bfloat16",
        threads=threads,
        clock=clock.value,
        edits_file=edits,
        num_edits=num_edits,
        num_serial_edits=serial_edits,
        slots=numbers("--slots", slots),
        lora=lora.spec(),
        optim=replace(
            optim.spec(pad_loss=pad_loss or chosen.trainer.pad_loss),
            max_length=max_length,
            learning_rate=learning_rate or optim.learning_rate,
            epochs=epochs or optim.epochs,
        ),
        sampling=chosen.proposer.sampling.spec(),
        max_new_tokens=(max_new_tokens or chosen.evaluator.max_new_tokens) if answers else 0,
        max_tokens_per_step=max_tokens_per_step or chosen.trainer.max_tokens_per_step,
        loss_chunk_tokens=loss_chunk_tokens or trainer.chunk_tokens,
        activation_checkpointing=trainer.activation_checkpointing if activation_checkpointing is None else activation_checkpointing,
        with_reference=not skip_reference,
        with_parity=parity,
    )
    result = run_inner_loop(plan, lambda text: print(text, file=sys.stderr, flush=True))
    print(result.to_json() if json_ else format_inner_loop(result))


@bench.command("end-to-end")
def end_to_end(
    topology: Annotated[Path, typer.Argument(help="Topology file (YAML), or the directory of a finished run.", show_default=False)],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key. Repeatable.", metavar="KEY=VALUE")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Use exactly this folder as the run directory.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a topology to its end and print self-edits scored an hour and what each agent did with its time."""
    from seal_runtime.bench.end_to_end import format_end_to_end, measure_run

    root = topology
    if not topology.is_dir():
        root, code = _run(topology, set_ or [], run_dir)
        if code != 0:
            raise typer.Exit(code)
    result = measure_run(root)
    print(result.to_json() if json_ else format_end_to_end(result))


def _run(path: Path, overrides: list[str], run_dir: Path | None) -> tuple[Path, int]:
    """Launch a topology without the live view; its lines go to stderr. Return the run directory and the exit code."""
    from launch.run_setup import new_run_directory
    from seal_runtime.cli.launch import check, execute, renamed, resolve

    resolved = resolve(path, overrides, name=None, run_dir=run_dir, seed=None)
    check(resolved, require_gpus=True)
    run = new_run_directory(resolved, name=None, run_dir=run_dir)
    with redirect_stdout(sys.stderr):
        code = execute(renamed(resolved, run.root.name), run, no_live=True, show=False)
    return run.root, code


def chosen_topology(path: Path | None, model: str | None) -> Topology:
    """Return the topology that the settings come from; the defaults are those of the paper."""
    from seal_runtime.config.loading import load_topology
    from seal_runtime.config.topology import Topology

    chosen = Topology() if path is None else load_topology(path, [])
    return chosen if model is None else chosen.model_copy(update={"model": chosen.model.model_copy(update={"path": model})})


def chosen_device(name: str) -> str:
    """Return the device; `auto` is a GPU where there is one."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Return the numbers of an option such as 1,4,16. Raises ConfigError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"{option}: expected numbers of adapters such as 1,4,16, got {text!r}")
    return tuple(int(part) for part in parts)
