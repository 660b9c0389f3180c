"""`seal-runtime story`: the whole life of one self-edit, from its context to the policy that learned from it."""

import io
import json
import sys
from typing import Annotated

import typer

from seal_runtime.cli.runs import RunArgument, find_run

MAX_WIDTH = 100

EditArgument = typer.Argument(help="A self-edit such as round-2/CONTEXT/e3, or as much of its name as no other has.", show_default=False)


def story(
    edit: Annotated[str, EditArgument],
    run: Annotated[str | None, RunArgument] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the story as JSON.")] = False,
) -> None:
    """Tell the whole life of one self-edit: text, training, every question, reward, credit, and who did what when."""
    from seal_runtime.story.tell import tell_story

    told = tell_story(find_run(run), edit)
    if as_json:
        print(json.dumps(told.to_dict(), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from seal_runtime.story.render import show_story

    # A terminal that lacks a character shows another in its place; that is no reason to end.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, MAX_WIDTH)
    show_story(told, console)
