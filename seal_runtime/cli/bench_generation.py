"""`seal-runtime bench generation`: how fast do transformers and vLLM answer for many adapters here, and do they answer the same."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from seal_runtime.cli.bench import ClockChoice, chosen_device, chosen_topology, numbers


def generation(
    topology: Annotated[Path | None, typer.Option(help="Take model, LoRA, optimiser and vLLM's engine_args from a topology file.")] = None,
    model: Annotated[str | None, typer.Option(help="Folder, hub name, builtin:NAME or random:ARCHITECTURE.")] = None,
    adapters: Annotated[str, typer.Option(help="Numbers of adapters answered for at once; the largest is how many there are.")] = "1,8,32",
    engines: Annotated[str, typer.Option(help="What generates.")] = "transformers,vllm",
    questions: Annotated[int | None, typer.Option(help="Questions an adapter; all of its passage if not given.", min=1)] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer in tokens.", min=1)] = None,
    repeats: Annotated[int, typer.Option(help="Interleaved repeats; medians are shown.", min=1)] = 3,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N; auto takes a GPU where there is one.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Precision of the base; auto: float32 on CPU, bfloat16 on CUDA.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads, for all engines.", min=1)] = 1,
    clock: Annotated[ClockChoice, typer.Option(help="cpu: CPU seconds, for one thread on a busy machine.")] = ClockChoice.wall,
    skip_reference: Annotated[bool, typer.Option("--skip-reference", help="Without PEFT's generate, one adapter at a time.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Answer the same questions for 1, 8 and 32 adapters with transformers and with vLLM; print times, ratios and whether they agree."""
    from seal_runtime.bench.generation import GenerationPlan, run_generation
    from seal_runtime.bench.generation_table import format_generation

    chosen = chosen_topology(topology, model)
    evaluator, on = chosen.evaluator, chosen_device(device)
    plan = GenerationPlan(
        model=chosen.model.path,
        device=on,
        dtype=dtype if dtype != "auto" else "float32" if on == "cpu" else "bfloat16",
        threads=threads,
        clock=clock.value,
        engines=tuple(name.strip() for name in engines.split(",") if name.strip()),
        adapters=numbers("--adapters", adapters),
        num_questions=questions,
        max_new_tokens=max_new_tokens or evaluator.max_new_tokens,
        repeats=repeats,
        lora=chosen.trainer.lora.spec(),
        optim=chosen.trainer.optim.spec(pad_loss=chosen.trainer.pad_loss),
        max_tokens_per_step=chosen.trainer.max_tokens_per_step,
        sampling=chosen.proposer.sampling.spec(),
        vllm_args=evaluator.engine_args if evaluator.engine == "vllm" else {},
        with_reference=not skip_reference,
    )
    with redirect_stdout(sys.stderr):  # vLLM logs to what stdout is when it is imported
        result = run_generation(plan, lambda text: print(text, flush=True))
    print(result.to_json() if json_ else format_generation(result))
