"""ReST-EM, the outer loop of SEAL (Zweiger et al. 2025, arXiv 2506.10943, section 3.1 and algorithm 1; Singh et al. 2023).

    E-step   edit_ij ~ policy_t( . | prompt_i),   r_ij = (1/S) sum_s accuracy(inner loop on edit_ij with seed s, questions_i)
    M-step   policy_t+1 = argmin_theta  - sum over (i, j) in D of  log p_theta(edit_ij | prompt_i),   started from policy_t

with D chosen by `algorithm.select`:
    best      D = {(i, argmax_j r_ij)}             what the published knowledge-incorporation code does
    improved  D = {(i, j) : r_ij > baseline_i}     equation 2 of the paper: reward 1 if the edit improved on no edit, else 0
    solved    D = {(i, j) : r_ij = 1}              the binary filter of few-shot ARC: every replicate was fully right
    random    D = {(i, one measured j at random)}  the control: as much training on own edits, no information from the rewards

Departures from the paper and its code
 1. An edit whose reward could not be measured is left out; the reference counts an outage as reward 0.
 2. Ties go to the lowest edit index (the reference's stable sort does the same); there is no filter on positive rewards in `best`.
 3. `improved` compares the mean over replicates with a measured baseline; a context without one adds nothing.
 4. An edit without any visible text is credited but never learned from: it would teach the policy to be silent.
 5. The random draw and the seed of the update derive from the job's seed; the reference takes the clock.
"""

from protocol.jobs import CreditGroup, CreditJob, CreditResult, EditCredit, PolicyUpdate, ScoredEdit, TrainingSequence
from seal_runtime.algorithms.base import measured
from seal_runtime.config.topology import AlgorithmConfig
from seal_runtime.seeds import derive_seed


class RestEM:
    """Supervised fine-tuning on the edits that the rewards select."""

    def __init__(self, config: AlgorithmConfig) -> None:
        self._config = config

    def credit(self, job: CreditJob) -> CreditResult:
        """Return weight 1 for each selected edit and 0 for the other measured ones, and the update on the selected, in group order."""
        credits: list[EditCredit] = []
        sequences: list[TrainingSequence] = []
        for group in job.groups:
            selected = self._select(group, job.seed)
            for edit, reward in measured(group.edits):
                weight = 1.0 if edit.edit_index in selected else 0.0
                credits.append(EditCredit(context_id=group.context_id, edit_index=edit.edit_index, reward=reward, weight=weight))
                if weight:
                    sequences.append(TrainingSequence(prompt=group.prompt, completion=edit.text, weight=weight))
        return CreditResult(credits=tuple(credits), update=self._update(tuple(sequences), job.seed))

    def _select(self, group: CreditGroup, seed: int) -> set[int]:
        """Return the indices of the edits of one context that the policy shall learn from."""
        candidates = [(edit, reward) for edit, reward in measured(group.edits) if edit.text.strip()]
        if not candidates:
            return set()
        match self._config.select:
            case "best":
                return {_best(candidates).edit_index}
            case "improved":
                return {edit.edit_index for edit, reward in candidates if group.baseline is not None and reward > group.baseline}
            case "solved":
                return {edit.edit_index for edit, reward in candidates if reward >= 1.0}
            case "random":
                edit, _ = candidates[derive_seed(seed, "random", group.context_id) % len(candidates)]
                return {edit.edit_index}

    def _update(self, sequences: tuple[TrainingSequence, ...], seed: int) -> PolicyUpdate | None:
        if not sequences:
            return None
        lora, optim = self._config.lora.spec(), self._config.optim.spec()
        return PolicyUpdate(sequences=sequences, lora=lora, optim=optim, seed=derive_seed(seed, "policy"))


def _best(candidates: list[tuple[ScoredEdit, float]]) -> ScoredEdit:
    """Return the edit of the highest reward; `max` keeps the first of equals and the candidates come by edit index."""
    return max(candidates, key=lambda candidate: candidate[1])[0]
