"""`seal-runtime seal`: the files of SEAL's published code, read and written."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_runtime.cli.runs import RunArgument, find_run
from seal_runtime.errors import ConfigError

if TYPE_CHECKING:
    from seal_runtime.seal.results import Results

seal = typer.Typer(help="Read and write the files of SEAL's published code.", no_args_is_help=True)

ResultsArgument = typer.Argument(help="A result file of the reference (run_*.json), or one from `seal export`.", metavar="RESULTS")


@seal.command()
def select(
    results: Annotated[Path, ResultsArgument],
    k: Annotated[int, typer.Option("--k", help="Self-edits to keep for each article.", min=1)] = 1,
    out: Annotated[Path | None, typer.Option(help="File to write, or a folder; standard output when left out.")] = None,
) -> None:
    """Choose the best self-edits of each article: the SFT set, as the reference's build step writes it."""
    from seal_runtime.seal.results import read_results, write_text
    from seal_runtime.seal.selection import select_best, sft_file_name, sft_text

    read = read_results(results)
    rows = select_best(read, k)
    if out is None:
        print(sft_text(rows), end="")
        return
    path = out / sft_file_name(read, k) if out.is_dir() else out
    write_text(path, sft_text(rows))
    print(f"{len(rows)} examples written to {path}")


@seal.command()
def stats(
    results: Annotated[Path, ResultsArgument],
    as_json: Annotated[bool, typer.Option("--json", help="Print the block as JSON.")] = False,
    from_answers: Annotated[
        bool, typer.Option("--from-answers", help="Start from the verdict on each answer, not from each edit's means.")
    ] = False,
) -> None:
    """Compute the overall block anew and compare it with the one in the file; exit with 1 when they differ."""
    from seal_runtime.seal.results import read_results
    from seal_runtime.seal.statistics import overall_stats

    read = read_results(results)
    if from_answers:
        read = _recounted(read, results)
    computed, stored = overall_stats(read.articles).model_dump(), read.overall.model_dump()
    if as_json:
        print(json.dumps(computed, indent=2))
    else:
        for key, value in computed.items():
            note = "" if stored[key] == value else f"   (the file says {stored[key]})"
            print(f"{key:36s} {'not measured' if value is None else format(value, '.4f'):>12s}{note}")
    if computed != stored:
        raise typer.Exit(1)


@seal.command()
def export(
    run: Annotated[str | None, RunArgument] = None,
    study: Annotated[
        str | None, typer.Option(help="Study to write, such as round-2 or heldout-v1; the newest round when left out.")
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write.", show_default=False)] = Path("results.json"),
) -> None:
    """Write a study of a run as a result file of the reference."""
    from seal_runtime.config.loading import load_resolved
    from seal_runtime.ledger.reader import LedgerReader
    from seal_runtime.seal.export import export_study
    from seal_runtime.seal.results import write_results
    from seal_runtime.tasks.registry import make_task

    directory = find_run(run)
    if out.exists():
        raise ConfigError(f"expected a new file, got {out}, which exists; name another with --out or remove it")
    topology = load_resolved(directory.topology)
    with LedgerReader(directory.ledger) as ledger:
        exported = export_study(ledger, topology, make_task(topology.task), study)
    write_results(out, exported.results)
    print(f"{exported.study}: {exported.results.n_articles} articles written to {out}")
    if exported.num_left_out:
        print(f"{exported.num_left_out} self-edits without a score are left out")
    if exported.lacks_baseline:
        print("baselines are null where this policy version was not asked without an adapter (algorithm.select=improved has it asked)")


def _recounted(results: "Results", path: Path) -> "Results":
    """Return the results with the means of each self-edit computed from its verdicts."""
    from seal_runtime.seal.statistics import completion_stats

    articles = []
    for article in results.articles:
        if not all(completion.questions for completion in article.completions):
            raise ConfigError(
                f"{path}: expected the answers of every self-edit, got none for some of {article.title!r}; drop --from-answers"
            )
        completions = tuple(
            completion.model_copy(update={"stats": completion_stats(completion.questions)}) for completion in article.completions
        )
        articles.append(article.model_copy(update={"completions": completions}))
    return results.model_copy(update={"articles": tuple(articles)})
