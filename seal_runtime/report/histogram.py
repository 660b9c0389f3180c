"""The distribution of rewards in one round as a small inline SVG."""

from collections.abc import Sequence

from seal_runtime.report.markup import Markup, element, join
from seal_runtime.report.model import RoundSummary

NUM_BINS = 10
WIDTH, HEIGHT, BASELINE = 240.0, 110.0, 92.0


def reward_bins(rewards: Sequence[float]) -> list[int]:
    """Count rewards in ten equal bins of [0, 1]; 1.0 falls into the last."""
    counts = [0] * NUM_BINS
    for reward in rewards:
        # 0.7 * 10 is 7.000000000000001 and 0.3 * 10 is 3.0000000000000004, but 0.29999999999999998 must not fall one bin low.
        counts[min(NUM_BINS - 1, max(0, int(reward * NUM_BINS + 1e-9)))] += 1
    return counts


def reward_histogram(summary: RoundSummary) -> Markup:
    """Draw the rewards of a round's edits, the mean as a line."""
    counts = reward_bins(summary.rewards)
    tallest = max([*counts, 1])
    step = WIDTH / NUM_BINS
    parts = []
    for index, count in enumerate(counts):
        height = (BASELINE - 8) * count / tallest
        bar = element("rect", class_="bar", x=index * step + 1.5, y=BASELINE - height, width=step - 3, height=height, rx=2.0)
        area = element("rect", x=index * step, y=0.0, width=step, height=BASELINE, fill="transparent")
        tip = f"reward {_bin_name(index)}: {count} edit{'' if count == 1 else 's'}"
        parts.append(element("g", bar, area, class_="hover", data_tip=tip))
    parts.append(element("line", class_="axis", x1=0.0, x2=WIDTH, y1=BASELINE, y2=BASELINE))
    for value, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        parts.append(element("text", f"{value:g}", class_="tick", x=value * WIDTH, y=HEIGHT - 3, text_anchor=anchor))
    if summary.mean_reward is not None:
        x = summary.mean_reward * WIDTH
        parts.append(element("line", class_="mean", x1=x, x2=x, y1=2.0, y2=BASELINE))
    lines = [f"Rewards of round {summary.round}", *[f"{_bin_name(index)}: {count}" for index, count in enumerate(counts) if count]]
    box = f"0 0 {WIDTH:g} {HEIGHT:g}"
    return element(
        "svg", join(parts), class_="chart", viewBox=box, role="img", tabindex="0", aria_label="; ".join(lines), data_tip="\n".join(lines)
    )


def _bin_name(index: int) -> str:
    closing = "]" if index == NUM_BINS - 1 else ")"
    return f"[{index / NUM_BINS:.1f}, {(index + 1) / NUM_BINS:.1f}{closing}"
