"""Find the run that a command means: a directory, a name under runs/, or the newest run."""

import difflib
from pathlib import Path

import typer

from seal_runtime.errors import ConfigError
from seal_runtime.store.run_directory import RunDirectory

RUNS = Path("runs")
MAX_NAMED = 8

RunArgument = typer.Argument(help="A run directory or the name of a run under runs/; the newest run when left out.", show_default=False)


def find_run(run: str | None) -> RunDirectory:
    """Return the run directory that `run` names. Raises ConfigError with the nearest names when there is none."""
    if run is None:
        return newest_run()
    for candidate in (Path(run), RUNS / run):
        if is_run(candidate):
            return RunDirectory(candidate)
    names = [path.name for path in known_runs()]
    near = difflib.get_close_matches(Path(run).name, names, n=3)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"runs here: {', '.join(names[:MAX_NAMED])}"
    else:
        hint = f"there is no run under {RUNS.resolve()}"
    raise ConfigError(f"expected a run directory or the name of a run, got {run!r}; {hint}")


def newest_run() -> RunDirectory:
    """Return the run under runs/ that was started last. Raises ConfigError when there is none."""
    runs = known_runs()
    if not runs:
        raise ConfigError(f"there is no run under {RUNS.resolve()}; start one with `seal-runtime launch`, or give its directory")
    return RunDirectory(runs[0])


def known_runs() -> list[Path]:
    """Return the run directories under runs/, the newest first."""
    if not RUNS.is_dir():
        return []
    return sorted((path for path in RUNS.iterdir() if is_run(path)), key=_started, reverse=True)


def is_run(path: Path) -> bool:
    """Say whether a folder is a run directory: it holds a resolved topology."""
    return RunDirectory(path).topology.is_file()


def short_path(path: Path) -> str:
    """Return a path as people would type it: relative to the working directory where it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _started(path: Path) -> float:
    try:
        return RunDirectory(path).topology.stat().st_mtime
    except OSError:
        return 0.0
