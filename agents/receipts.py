"""What an evaluator must be able to show, and the answers of policies without an adapter, which greedy decoding repeats for ever."""

from collections import OrderedDict

from protocol.jobs import EvaluateJob, Receipt
from seal_runtime.engines.base import AnswerOutput
from seal_runtime.errors import ReceiptError

_MAX_BASELINES = 1024


def make_receipt(job: EvaluateJob, output: AnswerOutput) -> Receipt:
    """Return the proof that the job's adapter was measured on its policy.

    Raises ReceiptError when other bytes were loaded for either, or the adapter has no effect.
    """
    asked = "" if job.adapter is None else job.adapter.sha256
    if output.adapter_sha256 != asked:
        raise ReceiptError(f"asked to measure adapter {asked[:12] or 'none'}, the engine loaded {output.adapter_sha256[:12] or 'none'}")
    if output.policy_sha256s != job.policy.sha256s:
        raise ReceiptError(f"asked to measure on policy v{job.policy.version}, the engine had other adapters folded in: {_short(output)}")
    if job.adapter is not None and output.probe_delta == 0.0:
        raise ReceiptError(f"adapter {asked[:12]} changes nothing: its probe's log-probabilities are exactly those of the policy alone")
    return Receipt(
        adapter_sha256=output.adapter_sha256,
        policy_version=job.policy.version,
        policy_sha256s=output.policy_sha256s,
        probe_delta=output.probe_delta,
    )


def _short(output: AnswerOutput) -> str:
    return ", ".join(sha256[:12] for sha256 in output.policy_sha256s) or "none"


class BaselineCache:
    """The latest answers given without an adapter, by policy and questions."""

    def __init__(self) -> None:
        self._outputs: OrderedDict[tuple[object, ...], AnswerOutput] = OrderedDict()

    def get(self, job: EvaluateJob) -> AnswerOutput | None:
        """Return the answers to the same questions by the same policy; None when they are not known or an adapter is asked for."""
        return self._outputs.get(_key(job)) if job.adapter is None else None

    def put(self, job: EvaluateJob, output: AnswerOutput) -> None:
        """Remember answers given without an adapter; others are not kept."""
        if job.adapter is None:
            self._outputs[_key(job)] = output
            if len(self._outputs) > _MAX_BASELINES:
                self._outputs.popitem(last=False)


def _key(job: EvaluateJob) -> tuple[object, ...]:
    return job.policy, tuple(question.prompt for question in job.questions), job.max_new_tokens, job.stop
