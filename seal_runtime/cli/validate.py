"""`seal-runtime validate`: say whether a topology would start, without starting anything."""

from pathlib import Path
from typing import Annotated

import typer


def validate(
    topology: Annotated[Path, typer.Argument(help="Topology file (YAML).", show_default=False)],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, as in trainer.lora.rank=16. Repeatable.", metavar="KEY=VALUE")
    ] = None,
    any_machine: Annotated[bool, typer.Option("--any-machine", help="Do not ask for this machine's GPUs.")] = False,
) -> None:
    """Check a topology: keys, types, GPUs, model and data files. Exit code 2 and every problem named when something is wrong."""
    from protocol.jobs import ROLES
    from seal_runtime.cli.launch import check, resolve

    resolved = resolve(topology, set_ or [], name=None, run_dir=None, seed=None)
    check(resolved, require_gpus=not any_machine)
    agents = ", ".join(f"{resolved.agents(role).count} {role}" for role in ROLES)
    print(f"{topology} is valid: model {resolved.model.path}, task {resolved.task.name}, {resolved.run.rounds} rounds; {agents}")
