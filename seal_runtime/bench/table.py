"""The inner-loop benchmark as text for people."""

from collections.abc import Sequence

from seal_runtime.bench.results import ArmResult, InnerLoopResult

_GIB = 1 << 30
_HEADINGS = ("", "edits", "train s", "answer s", "edits/h", "tokens/s", "x ref.", "x PEFT", "% peak", "MFU %", "GiB")


def format_inner_loop(result: InnerLoopResult) -> str:
    """Return the heading lines, the table, and what was checked."""
    rows = [_HEADINGS, *(_row(arm, result) for arm in result.arms)]
    return "\n".join([*_heading(result), "", *aligned(rows), "", *_footing(result)])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows with columns of one width: the first to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]) for row in rows
    ]


def _heading(result: InnerLoopResult) -> list[str]:
    targets = ", ".join(result.targets) or "the family's default targets"
    stated = "" if result.stated_peak_tflops is None else f", stated bfloat16 peak {result.stated_peak_tflops:.0f}"
    return [
        f"{result.model} ({result.dtype}) on {result.device}; plain matrix product {result.measured_peak_tflops:.4g} TFLOP/s{stated}",
        f"{result.num_edits} edits ({result.edits}): {result.tokens_per_edit:.0f} tokens and {result.steps_per_edit:.0f} steps an edit, "
        f"{result.epochs} epochs, LoRA r={result.rank} on {targets} ({result.adapter_weights / 1e6:.3g} M weights)",
        f"reference: PEFT + Trainer, padded to {result.max_length} tokens with the padding in the loss (pad_loss full); "
        f"batched: pad_loss {result.pad_loss}",
    ]


def _row(arm: ArmResult, result: InnerLoopResult) -> tuple[str, ...]:
    mfu = None if result.stated_peak_tflops is None else 100 * arm.useful_tflops / result.stated_peak_tflops
    return (
        arm.name,
        str(arm.num_measured),
        f"{arm.train_seconds:.3g}",
        f"{arm.answer_seconds:.3g}" if arm.answer_seconds else "-",
        f"{arm.edits_per_hour:,.0f}",
        f"{arm.tokens_per_second:,.0f}",
        _times(arm.times_reference),
        _times(arm.times_unpadded),
        f"{100 * arm.useful_tflops / result.measured_peak_tflops:.2g}",
        "-" if mfu is None else f"{mfu:.2g}",
        f"{arm.peak_memory_bytes / _GIB:.2f}",
    )


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3g}"


def _footing(result: InnerLoopResult) -> list[str]:
    lines = ["times are CPU seconds of this process"] if result.clock == "cpu" else []
    lines += ["% peak and MFU count the arithmetic of real tokens, of training alone; ratios are of training and answering together"]
    if result.parity is None:
        lines.append(f"parity: {result.parity_note}")
    else:
        lines.append(
            f"parity in float32 with PEFT + Trainer on {result.parity.num_edits} edits, {result.parity.num_steps} steps: "
            f"relative weight-delta error {result.parity.median_error:.1e} (median), {result.parity.largest_error:.1e} (largest)"
        )
    if result.answers_compared:
        lines.append(f"answers: {result.answers_equal} of {result.answers_compared} equal to those of the PEFT loop's adapters")
    return lines
