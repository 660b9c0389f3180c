"""Does every reward belong to the edit and the adapter that it names, and did credit see each reward once?"""

import math
from collections.abc import Iterator

from protocol.jobs import AdaptJob, AdaptResult, CreditJob, EvaluateJob, EvaluateResult, PolicyRef
from seal_runtime.chaos.checks import Check, check
from seal_runtime.chaos.expectation import Expectation
from seal_runtime.chaos.ledger_audit import AuditRow, LedgerAudit, Place


def check_receipts(audit: LedgerAudit, expectation: Expectation) -> Check:
    """Each evaluation loaded the very adapter that was trained at its place, on the edit proposed there, and the adapter had effect."""
    examined = {expected.place: expected.examined for expected in expectation.jobs}
    problems = [problem for row in audit.of_stage("evaluate") for problem in _receipt_problems(audit, row, examined.get(row.place))]
    problems += list(_training_problems(audit, expectation))
    with_adapter = sum(1 for row in audit.of_stage("evaluate") if isinstance(row.job, EvaluateJob) and row.job.adapter is not None)
    return check("receipts valid", f"{with_adapter} rewards of adapters, each with its hash and a probe that differs", problems)


def check_rewards(audit: LedgerAudit, expectation: Expectation) -> Check:
    """Each reward in a round's credit is the score that is committed for it, and no measured edit was left out or came twice."""
    problems: list[str] = []
    num_rewards = 0
    for row in audit.of_stage("credit"):
        assert isinstance(row.job, CreditJob)
        credited = [(group.context_id, edit.edit_index) for group in row.job.groups for edit in group.edits]
        problems += [f"{row.job_id} holds the edit {place} twice" for place in sorted({p for p in credited if credited.count(p) > 1})]
        given = {(group.context_id, edit.edit_index): edit.rewards for group in row.job.groups for edit in group.edits}
        wanted = _committed_rewards(audit, expectation, row.place[1], given)
        num_rewards += sum(map(len, given.values()))
        for place in sorted(given.keys() | wanted.keys()):
            if given.get(place, ()) != wanted.get(place, ()):
                problems.append(f"{row.job_id}: edit {place} has rewards {given.get(place)}, the ledger holds {wanted.get(place)}")
    return check("every reward once", f"{num_rewards} rewards in the credit of the rounds, each as committed", problems)


def check_policies(audit: LedgerAudit, expectation: Expectation) -> Check:
    """Each policy version is the adapter that its round's update trained, and each job names the lineage of its version.

    In a continual sequence the adapters merged so far follow.
    """
    merged = {expected.place: expected.merged for expected in expectation.jobs}
    problems: list[str] = []
    for row in audit.of_stage("policy"):
        assert isinstance(row.result, AdaptResult)
        version = int(row.place[1].removeprefix("round-"))
        if audit.policies.get(version) != row.result.adapter.sha256:
            problems.append(f"policy v{version} is {audit.policies.get(version)}, its update trained {row.result.adapter.sha256}")
    for row in audit.rows:
        policy: PolicyRef | None = getattr(row.job, "policy", None)
        if policy is None:
            continue
        chain = [audit.policies.get(version, "unknown") for version in range(1, policy.version + 1)]
        chain = [sha256 for sha256 in chain if sha256] + [_trained(audit, place) for place in merged.get(row.place, ())]
        if list(policy.sha256s) != chain or policy.version != row.policy_version:
            problems.append(f"{row.job_id} was done with another lineage than that of policy v{row.policy_version}")
    return check("policies in line", f"{len(audit.policies)} version(s)", problems)


def _trained(audit: LedgerAudit, place: Place | None) -> str:
    """Return the adapter that was trained at a place, "" when none was."""
    row = audit.at(place) if place is not None else None
    return row.result.adapter.sha256 if row is not None and isinstance(row.result, AdaptResult) else ""


def _receipt_problems(audit: LedgerAudit, row: AuditRow, examined: Place | None) -> Iterator[str]:
    if not isinstance(row.job, EvaluateJob) or not isinstance(row.result, EvaluateResult):
        yield f"{row.job_id} holds no evaluation"
        return
    receipt = row.result.receipt
    wanted = _trained(audit, examined)
    named = row.job.adapter.sha256 if row.job.adapter is not None else ""
    if not receipt.adapter_sha256 == named == wanted:
        yield (
            f"{row.job_id}: the receipt names adapter {receipt.adapter_sha256[:12] or 'none'}, the job {named[:12] or 'none'}, "
            f"trained was {wanted[:12] or 'none'}"
        )
    if named and not receipt.probe_delta > 0:
        yield f"{row.job_id}: the adapter had no effect (probe_delta {receipt.probe_delta})"
    if receipt.policy_version != row.job.policy.version:
        yield f"{row.job_id}: the receipt names policy v{receipt.policy_version}, the job v{row.job.policy.version}"
    if receipt.policy_sha256s != row.job.policy.sha256s:
        yield f"{row.job_id}: the receipt names other adapters of policy v{receipt.policy_version} than the job"
    yield from _score_problems(row, row.job, row.result)


def _score_problems(row: AuditRow, job: EvaluateJob, result: EvaluateResult) -> Iterator[str]:
    if row.score != result.score:
        yield f"{row.job_id}: the score is {row.score}, its evaluator gave {result.score}"
    if job.scoring == "task":
        return
    mean = sum(answer.score for answer in result.answers) / len(result.answers) if result.answers else math.nan
    if row.score is None or not math.isclose(row.score, mean, rel_tol=1e-12, abs_tol=1e-12):
        yield f"{row.job_id}: the score is {row.score}, the mean of its answers {mean}"


def _training_problems(audit: LedgerAudit, expectation: Expectation) -> Iterator[str]:
    for expected in expectation.jobs:
        row = audit.at(expected.place)
        if row is None or expected.sequences is None:
            continue
        if not isinstance(row.job, AdaptJob) or row.job.sequences != expected.sequences:
            yield f"{row.job_id} was trained on other texts than its edit gives"


def _committed_rewards(
    audit: LedgerAudit, expectation: Expectation, study: str, given: dict[tuple[str, int], tuple[float, ...]]
) -> dict[tuple[str, int], tuple[float, ...]]:
    """Return the rewards of each edit by the ledger, in the order of the replicates."""
    by_edit: dict[tuple[str, int], dict[int, float]] = {}
    for row in audit.of_stage("evaluate"):
        place: Place = row.place
        if place[1] == study and row.score is not None:
            by_edit.setdefault((place[2], place[3]), {})[place[4]] = row.score
    rewards = {edit: tuple(scores[replicate] for replicate in sorted(scores)) for edit, scores in by_edit.items()}
    for name, context_id, index in expectation.unparsed:
        if name == study:
            rewards[context_id, index] = (0.0,) * len(given.get((context_id, index), ()) or (0.0,))
    return rewards
