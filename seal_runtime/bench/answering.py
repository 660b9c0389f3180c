"""Answer for many adapters, a bounded number of them at once: what an evaluator does, without the bus."""

from collections.abc import Sequence

from seal_runtime.engines.base import AnswerOutput, AnswerRequest, GenerationEngine, RequestFailed


def answer_all(engine: GenerationEngine, requests: Sequence[AnswerRequest], num_at_once: int) -> dict[str, AnswerOutput]:
    """Return the outputs by request id; at most `num_at_once` requests are under way. Raises what ended a request."""
    waiting = list(requests)
    outputs: dict[str, AnswerOutput] = {}
    while waiting or engine.num_pending:
        while waiting and engine.num_pending < num_at_once:
            engine.submit(waiting.pop(0))
        for output in engine.step():
            if isinstance(output, RequestFailed):
                raise output.error
            assert isinstance(output, AnswerOutput), output
            outputs[output.request_id] = output
    return outputs
