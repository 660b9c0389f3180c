"""Credit worked out by hand."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import pytest

from protocol.jobs import CreditGroup, CreditJob, EditCredit, ScoredEdit, TrainingSequence
from seal_runtime.algorithms.registry import make_algorithm
from seal_runtime.config.topology import AlgorithmConfig
from seal_runtime.seeds import derive_seed

Select = Literal["best", "improved", "solved", "random"]


def edit(index: int, *rewards: float, text: str | None = None) -> ScoredEdit:
    words = f"edit {index}" if text is None else text
    return ScoredEdit(edit_index=index, text=words, rewards=rewards, token_ids=(), behaviour_logprobs=())


def group(context: str, *edits: ScoredEdit, baseline: float | None = None) -> CreditGroup:
    return CreditGroup(context_id=context, prompt=f"prompt of {context}: ", baseline=baseline, edits=edits)


def job(*groups: CreditGroup, seed: int = 5) -> CreditJob:
    return CreditJob(job_id="round-1/credit", round=1, seed=seed, groups=groups)


def chosen(select: Select, *groups: CreditGroup, seed: int = 5) -> list[tuple[str, int]]:
    credits = make_algorithm(AlgorithmConfig(select=select)).credit(job(*groups, seed=seed)).credits
    return [(credit.context_id, credit.edit_index) for credit in credits if credit.weight == 1.0]


def test_best_takes_the_highest_mean_over_replicates() -> None:
    # Means 0.5, 0.625, 0.25: the single best replicate (1.0 of edit 0) does not win.
    contexts = group("a", edit(0, 1.0, 0.0), edit(1, 0.75, 0.5), edit(2, 0.25, 0.25))
    result = make_algorithm(AlgorithmConfig()).credit(job(contexts))
    assert result.credits == (
        EditCredit(context_id="a", edit_index=0, reward=0.5, weight=0.0),
        EditCredit(context_id="a", edit_index=1, reward=0.625, weight=1.0),
        EditCredit(context_id="a", edit_index=2, reward=0.25, weight=0.0),
    )
    assert result.update is not None
    assert result.update.sequences == (TrainingSequence(prompt="prompt of a: ", completion="edit 1", weight=1.0),)


def test_ties_go_to_the_lowest_index_whatever_the_order_of_arrival() -> None:
    assert chosen("best", group("a", edit(2, 0.5), edit(1, 0.5), edit(0, 0.25))) == [("a", 1)]


def test_best_has_no_positivity_filter() -> None:
    assert chosen("best", group("a", edit(0, 0.0), edit(1, 0.0), baseline=0.5)) == [("a", 0)]


def test_solved_takes_every_edit_whose_replicates_all_have_reward_one() -> None:
    groups = (group("a", edit(0, 1.0, 1.0), edit(1, 1.0, 0.0), edit(2, 1.0)), group("b", edit(0, 0.99)))
    assert chosen("solved", *groups) == [("a", 0), ("a", 2)]
    assert make_algorithm(AlgorithmConfig(select="solved")).credit(job(groups[1])).update is None


@pytest.mark.parametrize("select", ["best", "improved", "random"])
def test_what_was_not_measured_is_neither_credited_nor_chosen(select: Select) -> None:
    groups = (group("a", edit(0), edit(1, 0.25), baseline=0.0), group("b", edit(0), edit(1), baseline=0.0))
    result = make_algorithm(AlgorithmConfig(select=select)).credit(job(*groups))
    assert [(credit.context_id, credit.edit_index, credit.weight) for credit in result.credits] == [("a", 1, 1.0)]


def test_improved_takes_every_edit_above_the_baseline() -> None:
    above = group("a", edit(0, 0.5), edit(1, 0.25), edit(2, 0.75, 0.0), edit(3, 0.26), baseline=0.25)
    unmeasured_baseline = group("b", edit(0, 1.0), baseline=None)
    assert chosen("improved", above, unmeasured_baseline) == [("a", 0), ("a", 2), ("a", 3)]


def test_nothing_improved_means_no_update() -> None:
    result = make_algorithm(AlgorithmConfig(select="improved")).credit(job(group("a", edit(0, 0.25), baseline=0.25)))
    assert result.update is None
    assert [credit.weight for credit in result.credits] == [0.0]


def test_no_group_means_no_update() -> None:
    result = make_algorithm(AlgorithmConfig()).credit(job())
    assert (result.credits, result.update) == ((), None)


def _random_picks(rewards: Sequence[float], seed: int) -> list[tuple[str, int]]:
    edits = [edit(index, reward) for index, reward in enumerate(rewards)]
    return chosen("random", *(group(f"c{number}", *edits) for number in range(300)), seed=seed)


def test_random_takes_one_edit_a_context_regardless_of_reward() -> None:
    picks = _random_picks([0.0, 0.0, 1.0], seed=5)
    assert picks == _random_picks([1.0, 0.5, 0.0], seed=5)
    assert picks != _random_picks([0.0, 0.0, 1.0], seed=6)
    counts = Counter(index for _, index in picks)
    assert len(picks) == 300
    assert all(60 < counts[index] < 140 for index in range(3)), counts


def test_blank_edits_are_credited_but_not_learned_from() -> None:
    groups = (group("a", edit(0, 0.5, text=" \n"), edit(1, 0.25)), group("b", edit(0, 0.5, text="")))
    result = make_algorithm(AlgorithmConfig()).credit(job(*groups))
    assert [(credit.context_id, credit.edit_index, credit.reward, credit.weight) for credit in result.credits] == [
        ("a", 0, 0.5, 0.0),
        ("a", 1, 0.25, 1.0),
        ("b", 0, 0.5, 0.0),
    ]


def test_the_update_carries_the_configured_step_and_the_text_as_generated() -> None:
    config = AlgorithmConfig()
    update = make_algorithm(config).credit(job(group("a", edit(0, 0.5, text=" two\nlines ")))).update
    assert update is not None
    assert update.sequences[0].completion == " two\nlines "
    assert (update.lora, update.optim, update.seed) == (config.lora.spec(), config.optim.spec(), derive_seed(5, "policy"))
    assert (update.lora.rank, update.optim.epochs, update.optim.batch_size, update.optim.num_steps) == (64, 2, 10, 0)
