"""Look into a run from Python: `python examples/analysis.py runs/quickstart [--out FOLDER]`.

Prints tables; with matplotlib (`pip install matplotlib`) also saves two pictures. Works while the run goes on.
"""

import argparse
import importlib.util
from pathlib import Path

import pandas as pd

from seal_runtime import Run


def rounds_table(rewards: pd.DataFrame) -> pd.DataFrame:
    """Return mean, best-of-context and spread of the reward by round; a context counts once, however many edits it has."""
    by_context = rewards.groupby(["round", "context_id"])["reward"]
    table = pd.DataFrame({"mean": by_context.mean(), "best": by_context.max()}).groupby("round").mean()
    return table.assign(spread=rewards.groupby("round")["reward"].std(), edits=rewards.groupby("round").size())


def length_table(edits: pd.DataFrame) -> pd.DataFrame:
    """Return how the length of a self-edit, the inner loop's loss and the reward went by round."""
    columns = ["num_tokens", "mean_logprob", "first_loss", "final_loss", "reward"]
    return edits.dropna(subset=["round"]).groupby("round")[columns].mean(numeric_only=True)


def save_plots(rewards: pd.DataFrame, studies: pd.DataFrame, folder: Path) -> list[Path]:
    """Save the learning curve and the rewards' distribution as PNG files and return their paths. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    heldout = studies[studies.study.str.startswith("heldout-v")].sort_values("policy_version")
    own = studies.dropna(subset=["round"])
    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    for label, rows in (("held-out accuracy", heldout), ("mean reward", own)):
        errors = 1.96 * pd.to_numeric(rows.stderr_score).fillna(0.0)
        axes.plot(rows.policy_version, rows.mean_score, marker="o", label=label)
        axes.fill_between(rows.policy_version, rows.mean_score - errors, rows.mean_score + errors, alpha=0.15)
    axes.set(xlabel="policy version", ylabel="share of questions right", ylim=(0, 1), xticks=sorted(heldout.policy_version.unique()))
    axes.legend()
    curve = folder / "learning-curve.png"
    figure.savefig(curve, dpi=120)

    numbers = sorted(rewards["round"].unique())
    figure, panels = pyplot.subplots(1, len(numbers), figsize=(3 * len(numbers), 2.6), sharey=True, squeeze=False, layout="constrained")
    for panel, number in zip(panels[0], numbers, strict=True):
        panel.hist(rewards[rewards["round"] == number].reward, bins=10, range=(0, 1))
        panel.set(title=f"round {number}", xlabel="reward")
    distribution = folder / "rewards.png"
    figure.savefig(distribution, dpi=120)
    return [curve, distribution]


def main() -> None:
    """Read the command line and show the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run directory, such as runs/quickstart")
    parser.add_argument("--out", type=Path, default=Path("analysis"), help="where the pictures go (default: analysis)")
    arguments = parser.parse_args()

    run = Run.open(arguments.run)
    status = run.status
    print(f"{status.run}: {status.phase}, policy v{status.policy_version}, {status.num_results} results")
    rewards, edits, studies = pd.DataFrame(run.rewards()), pd.DataFrame(run.edits()), pd.DataFrame(run.studies())
    if rewards.empty:
        print("no self-edit has a reward yet")
        return
    print("\nRewards by round\n", rounds_table(rewards).round(3).to_string(), sep="")
    print("\nSelf-edits by round\n", length_table(edits).round(3).to_string(), sep="")
    print("\nMeasurements\n", studies[["study", "mean_score", "stderr_score", "num_scored"]].round(3).to_string(index=False), sep="")
    attempts = pd.DataFrame(run.attempts())
    print("\nAttempts\n", attempts.groupby(["stage", "outcome"]).size().to_string(), sep="")
    if importlib.util.find_spec("matplotlib") is None:
        print("\nno pictures: matplotlib is not installed")
        return
    for path in save_plots(rewards, studies, arguments.out):
        print(f"saved {path}")


if __name__ == "__main__":
    main()
