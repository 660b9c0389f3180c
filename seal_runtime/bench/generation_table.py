"""The generation benchmark as text for people."""

from seal_runtime.bench.generation_results import AnswerArm, GenerationResult, SampleArm
from seal_runtime.bench.table import aligned

_ANSWERING = ("answering", "adapters", "ms/edit", "spread", "questions/s", "tokens/s", "x PEFT", "= PEFT")
_SAMPLING = ("writing self-edits", "edits", "ms/edit", "tokens/s")


def format_generation(result: GenerationResult) -> str:
    """Return the heading lines, the tables, and what was checked."""
    answering = [_ANSWERING, *(_answer_row(arm) for arm in result.answering)]
    sampling = [_SAMPLING, *(_sample_row(arm) for arm in result.sampling)]
    return "\n".join([*_heading(result), "", *aligned(answering), "", *aligned(sampling), "", *_footing(result)])


def _heading(result: GenerationResult) -> list[str]:
    targets = ", ".join(result.targets) or "the family's default targets"
    versions = ", ".join(f"{package} {version}" for package, version in result.versions.items())
    return [
        f"{result.model} ({result.dtype}) on {result.device}; plain matrix product {result.measured_peak_tflops:.4g} TFLOP/s; {versions}",
        f"{result.num_edits} edits: one adapter each (LoRA r={result.rank} on {targets}, {result.adapters}), "
        f"{result.num_questions} questions in all, at most {result.max_new_tokens} tokens an answer, greedy",
        f"medians of {result.repeats} interleaved repeats, each with adapters that no engine has seen; warm-up not counted",
    ]


def _answer_row(arm: AnswerArm) -> tuple[str, ...]:
    shortest, longest = min(arm.repeat_seconds), max(arm.repeat_seconds)
    return (
        arm.engine,
        str(arm.num_adapters),
        f"{1e3 * arm.seconds_an_edit:.3g}",
        f"{1e3 * shortest:.3g}-{1e3 * longest:.3g}",
        f"{arm.questions_per_second:,.0f}",
        f"{arm.tokens_per_second:,.0f}",
        "-" if arm.times_peft is None else f"{arm.times_peft:.3g}",
        f"{arm.num_equal}/{arm.num_compared}" if arm.num_compared else "-",
    )


def _sample_row(arm: SampleArm) -> tuple[str, ...]:
    return (arm.engine, str(arm.num_edits), f"{1e3 * arm.seconds_an_edit:.3g}", f"{arm.tokens_per_second:,.0f}")


def _footing(result: GenerationResult) -> list[str]:
    lines = ["times are CPU seconds of this process"] if result.clock == "cpu" else []
    lines.append(
        "x PEFT above 1 is faster; tokens are generated ones; an edit's time holds loading its adapter and its receipt (PEFT: none)"
    )
    if result.agreement is not None:
        found = result.agreement
        lines.append(f"greedy answers of vllm and transformers: {found.num_equal} of {found.num_compared} equal, token by token")
        if found.num_equal < found.num_compared:
            lines.append(
                f"where they part, transformers' log-probabilities of the two tokens are at most {found.largest_gap:.1e} nats apart"
            )
    return [*lines, *result.notes]
