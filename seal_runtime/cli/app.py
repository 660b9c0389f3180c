"""Put the commands together. Importing this loads no engine, no torch and no bus."""

from typing import Annotated

import typer

from seal_runtime import __version__
from seal_runtime.cli.attach import attach, drain
from seal_runtime.cli.bench import bench
from seal_runtime.cli.bench_controller import controller
from seal_runtime.cli.bench_generation import generation
from seal_runtime.cli.bench_reference import reference
from seal_runtime.cli.chaos import chaos
from seal_runtime.cli.doctor import doctor
from seal_runtime.cli.export import export
from seal_runtime.cli.launch import launch, resume
from seal_runtime.cli.logs import logs
from seal_runtime.cli.plan import plan
from seal_runtime.cli.pretrain import pretrain
from seal_runtime.cli.report import report
from seal_runtime.cli.scale import scale
from seal_runtime.cli.seal import seal
from seal_runtime.cli.serve_ttt import serve_ttt
from seal_runtime.cli.status import status, stop
from seal_runtime.cli.story import story
from seal_runtime.cli.top import top
from seal_runtime.cli.validate import validate

RUNNING, WATCHING, RESULTS, SETTING_UP = "Run", "Watch and steer", "Results", "Set up"

app = typer.Typer(
    name="seal-runtime",
    help="Run SEAL (self-adapting language models) as proposer, trainer, evaluator and critic processes on a message bus.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"seal-runtime {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Hold the options that stand before a command."""


root.__doc__ = None  # typer would show it instead of the application's own help
for _command, _panel in (
    (launch, RUNNING),
    (resume, RUNNING),
    (validate, RUNNING),
    (plan, RUNNING),
    (attach, RUNNING),
    (serve_ttt, RUNNING),
    (status, WATCHING),
    (top, WATCHING),
    (logs, WATCHING),
    (stop, WATCHING),
    (drain, WATCHING),
    (scale, WATCHING),
    (report, RESULTS),
    (story, RESULTS),
    (export, RESULTS),
    (doctor, SETTING_UP),
    (chaos, SETTING_UP),
    (pretrain, SETTING_UP),
):
    app.command(rich_help_panel=_panel)(_command)
bench.command()(generation)
bench.command()(controller)
bench.command()(reference)
app.add_typer(seal, name="seal", rich_help_panel=RESULTS)
app.add_typer(bench, name="bench", rich_help_panel=SETTING_UP)
