"""`seal-runtime bench reference`: self-edits scored an hour, the published code's way and ours."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from seal_runtime.cli.bench import ClockChoice, chosen_device, chosen_topology


def reference(
    topology: Annotated[Path | None, typer.Option(help="Take model, LoRA and optimiser from a topology file.")] = None,
    model: Annotated[str | None, typer.Option(help="Folder, hub name, builtin:NAME or random:ARCHITECTURE.")] = None,
    edits: Annotated[
        Path | None, typer.Option(help="Published self-edits: a JSON list of {title, context, questions, completions}.")
    ] = None,
    num_edits: Annotated[int, typer.Option(help="Edits that ours scores.", min=1)] = 32,
    serial_edits: Annotated[int, typer.Option(help="Edits that the reference scores; they stand for all.", min=1)] = 4,
    slots: Annotated[int, typer.Option(help="Adapters K that ours trains at once.", min=1)] = 16,
    pad_loss: Annotated[str, typer.Option(help="Modes of our arms, such as none,sampled:8,full.")] = "none,sampled:8",
    epochs: Annotated[int | None, typer.Option(help="Passes over each edit.", min=1)] = None,
    max_length: Annotated[int, typer.Option(help="What the reference pads to, cut to the model's context.", min=8)] = 2048,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer in tokens.", min=1)] = None,
    grader_latency: Annotated[float, typer.Option(help="Seconds that each grade takes more, as a judge behind a network.", min=0.0)] = 0.0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N; auto takes a GPU where there is one.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Precision of the base; auto: float32 on CPU, bfloat16 on CUDA.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads, for all arms.", min=1)] = 1,
    clock: Annotated[ClockChoice, typer.Option(help="cpu: CPU seconds, for one thread on a busy machine.")] = ClockChoice.wall,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train, answer and grade the same self-edits as the published code does and as this runtime does; print edits an hour and ratios."""
    from seal_runtime.bench.preparation import InnerLoopPlan
    from seal_runtime.bench.reference_run import ReferenceRunPlan, run_reference
    from seal_runtime.bench.reference_run_results import format_reference_run
    from seal_runtime.bench.serial_arms import need_trainer

    need_trainer()
    chosen, on = chosen_topology(topology, model), chosen_device(device)
    optim = chosen.trainer.optim
    inner_loop = InnerLoopPlan(
        model=chosen.model.path,
        device=on,
        dtype=dtype if dtype != "auto" else "float32" if on == "cpu" else "bfloat16",
        threads=threads,
        clock=clock.value,
        edits_file=edits,
        num_edits=num_edits,
        num_serial_edits=serial_edits,
        slots=(slots,),
        lora=chosen.trainer.lora.spec(),
        # batch 1 and linear decay are the reference's
        optim=replace(optim.spec(pad_loss="full"), max_length=max_length, epochs=epochs or optim.epochs, batch_size=1, schedule="linear"),
        sampling=chosen.proposer.sampling.spec(),
        max_new_tokens=max_new_tokens or chosen.evaluator.max_new_tokens,
        max_tokens_per_step=chosen.trainer.max_tokens_per_step,
        loss_chunk_tokens=chosen.trainer.chunk_tokens,
        activation_checkpointing=chosen.trainer.activation_checkpointing,
        with_reference=True,
        with_parity=False,
    )
    modes = tuple(mode.strip() for mode in pad_loss.split(",") if mode.strip())
    plan = ReferenceRunPlan(inner_loop=inner_loop, pad_losses=modes, grader_latency_seconds=grader_latency)
    result = run_reference(plan, lambda text: print(text, file=sys.stderr, flush=True))
    print(result.to_json() if json_ else format_reference_run(result))
