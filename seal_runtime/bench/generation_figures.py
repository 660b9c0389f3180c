"""From the repeats of the generation benchmark to medians. Pure."""

import statistics
from collections.abc import Mapping, Sequence

from seal_runtime.bench.generation_arms import Answered, Sampled
from seal_runtime.bench.generation_results import PEFT_GENERATE, AnswerArm, SampleArm


def answer_arms(measured: Mapping[tuple[str, int], Sequence[Answered]], num_edits: int, num_questions: int) -> tuple[AnswerArm, ...]:
    """Return the figures of every engine and number of adapters, PEFT first; answers are compared in the last repeat."""
    reference = measured.get((PEFT_GENERATE, 1))
    peft_seconds = None if reference is None else statistics.median(repeat.seconds for repeat in reference)
    arms = []
    for (engine, num_adapters), repeats in sorted(measured.items(), key=lambda item: (item[0][0] != PEFT_GENERATE, item[0][1], item[0][0])):
        seconds = statistics.median(repeat.seconds for repeat in repeats)
        is_reference = engine == PEFT_GENERATE
        equal, compared = (0, 0) if reference is None or is_reference else _equal(repeats[-1], reference[-1])
        arms.append(
            AnswerArm(
                engine=engine,
                num_adapters=num_adapters,
                seconds_an_edit=seconds / num_edits,
                repeat_seconds=tuple(repeat.seconds / num_edits for repeat in repeats),
                questions_per_second=num_questions / seconds,
                tokens_per_second=repeats[-1].num_tokens / seconds,
                times_peft=None if peft_seconds is None else peft_seconds / seconds,
                num_equal=equal,
                num_compared=compared,
            )
        )
    return tuple(arms)


def sample_arms(measured: Mapping[str, Sequence[Sampled]]) -> tuple[SampleArm, ...]:
    """Return the figures of every engine; its repeats wrote about different passages, so the rates are what is compared."""
    return tuple(
        SampleArm(
            engine=engine,
            num_edits=repeats[0].num_edits,
            seconds_an_edit=statistics.median(repeat.seconds / repeat.num_edits for repeat in repeats),
            tokens_per_second=statistics.median(repeat.num_tokens / repeat.seconds for repeat in repeats),
        )
        for engine, repeats in measured.items()
    )


def _equal(one: Answered, other: Answered) -> tuple[int, int]:
    pairs = [pair for name, texts in other.answers.items() for pair in zip(one.answers[name], texts, strict=True)]
    return sum(mine == theirs for mine, theirs in pairs), len(pairs)
