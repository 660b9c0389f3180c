"""One generation engine for several roles of a process: each gets a seat, which is a GenerationEngine of its own.

Invariant: a seat sees its own requests and results only, whoever of them made the engine step, so that a role cannot tell whether it
shares. Requests of all seats are in one batch.
"""

from collections.abc import Sequence
from dataclasses import replace

from seal_runtime.engines.base import AnswerOutput, AnswerRequest, GenerationEngine, RequestFailed, SampleOutput, SampleRequest

_Result = SampleOutput | AnswerOutput | RequestFailed


class EngineSeat:
    """One role's end of a shared engine. Closing the last seat closes the engine."""

    def __init__(self, shared: "SharedEngine", name: str) -> None:
        self._shared = shared
        self._prefix = f"{name}:"
        self._open: set[str] = set()
        self.mailbox: list[_Result] = []
        self.failure: Exception | None = None

    @property
    def num_pending(self) -> int:
        """Return how many requests of this seat have not been returned by `step` yet."""
        return len(self._open)

    def submit(self, request: SampleRequest | AnswerRequest) -> None:
        """Queue a request."""
        self._open.add(request.request_id)
        self._shared.engine.submit(replace(request, request_id=self._prefix + request.request_id))

    def step(self) -> Sequence[SampleOutput | AnswerOutput | RequestFailed]:
        """Return what the engine finished for this seat; step it only when nothing is waiting here. Raises what breaks the engine."""
        if not self.mailbox and self.failure is None:
            self._shared.step()
        if not self.mailbox and self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        finished, self.mailbox = self.mailbox, []
        self._open -= {result.request_id for result in finished}
        return finished

    def cancel(self, request_id: str) -> None:
        """Forget a request of this seat; unknown ids are ignored."""
        if request_id in self._open:
            self._open.remove(request_id)
            self.mailbox = [result for result in self.mailbox if result.request_id != request_id]
            self._shared.engine.cancel(self._prefix + request_id)
        if not self._open:
            self.failure = None  # what broke was for requests that are gone

    def close(self) -> None:
        """Forget this seat's requests. Idempotent."""
        for request_id in list(self._open):
            self.cancel(request_id)
        self._shared.leave(self._prefix)

    def deliver(self, request_id: str, result: _Result) -> None:
        """Take a result of the engine's under the id that the role gave."""
        if request_id in self._open:
            self.mailbox.append(replace(result, request_id=request_id))


class SharedEngine:
    """Routes the results of one engine to the seats that asked."""

    def __init__(self, engine: GenerationEngine) -> None:
        self.engine = engine
        self._seats: dict[str, EngineSeat] = {}

    def seat(self, name: str) -> EngineSeat:
        """Return a new seat. Names differ and hold no colon."""
        prefix = f"{name}:"
        assert prefix not in self._seats, name
        assert ":" not in name, name
        self._seats[prefix] = EngineSeat(self, name)
        return self._seats[prefix]

    def step(self) -> None:
        """Step the engine and hand out what finished. An exception reaches every seat that has requests at work."""
        try:
            results = self.engine.step()
        except Exception as error:  # each seat raises it to its owner, whose jobs it ends
            for seat in self._seats.values():
                if seat.num_pending:
                    seat.failure = error
            return
        for result in results:
            name, _, request_id = result.request_id.partition(":")
            seat_or_none = self._seats.get(f"{name}:")
            if seat_or_none is not None:
                seat_or_none.deliver(request_id, result)

    def leave(self, prefix: str) -> None:
        """Take a seat away; the engine ends with the last."""
        if self._seats.pop(prefix, None) is not None and not self._seats:
            self.engine.close()
