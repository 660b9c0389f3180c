"""What bounds a simulated run, in words, and what would move the bound."""

from seal_runtime.config.topology import AlgorithmConfig
from seal_runtime.planning.outcome import FleetOutcome

CONTROLLER_BOUND = 0.7
FILLED = 4
"""So many inner loops for each adapter that trainers hold at once keep them busy for most of a round."""
UPDATE_BOUND = 0.25
BUSY = 0.85
_WORDS = {"proposer": "writing", "trainer": "training", "evaluator": "examining"}


def bottleneck_of(outcome: FleetOutcome, algorithm: AlgorithmConfig) -> str:
    """Return one sentence or two."""
    sentences = [_main(outcome, algorithm)]
    update_share = outcome.update_seconds / outcome.round_seconds if outcome.round_seconds else 0.0
    if update_share >= UPDATE_BOUND and algorithm.max_policy_lag == 0:
        sentences.append(
            f"The policy update, on one trainer, is {100 * update_share:.0f} % of a round: algorithm.max_policy_lag 1 lets the next "
            "round go on meanwhile."
        )
    return " ".join(sentences)


def _main(outcome: FleetOutcome, algorithm: AlgorithmConfig) -> str:
    if outcome.controller_share >= CONTROLLER_BOUND:
        share = 100 * outcome.controller_share
        return f"The controller is busy {share:.0f} % of the time: take fewer, longer jobs, or divide the work among two runs."
    busiest = max(outcome.roles, key=lambda use: use.busy_share)
    if busiest.busy_share >= BUSY:
        share = 100 * busiest.busy_share
        return (
            f"The {busiest.role}s are the bottleneck, {_WORDS[busiest.role]} {share:.0f} % of the time: more of them make the run faster."
        )
    lag = "" if algorithm.max_policy_lag else ", or algorithm.max_policy_lag, so that rounds overlap"
    trainer = next(use for use in outcome.roles if use.role == "trainer")
    slots, an_edit = trainer.num_processes * trainer.num_slots, algorithm.edits_per_context * algorithm.replicates
    inner_loops = algorithm.contexts_per_round * an_edit
    alone, whole = f"{outcome.longest_chain_seconds:.0f} s", f"{outcome.round_seconds:.0f} s"
    chain = f"its longest self-edit takes {alone} from the proposal to the policy, the round {whole}"
    if inner_loops < FILLED * slots:
        return (
            f"A round of {inner_loops:,} inner loops cannot fill {trainer.num_processes:,} trainers of {trainer.num_slots} adapters "
            f"({slots:,} at once): {chain}; raise algorithm.contexts_per_round (to {-(-FILLED * slots // an_edit):,}){lag}."
        )
    return (
        f"No role is busy all the time (the {busiest.role}s {100 * busiest.busy_share:.0f} %): rounds begin and end with GPUs that "
        f"wait, and {chain}; raise algorithm.contexts_per_round{lag}."
    )
