"""Long work beside the thread that owns an engine: one thread, in order, each piece known by a key.

Invariant: a piece of work is handed back once, by `ended` or by `take`, or is dropped; when `drop` returns, its work does not run and
never will. The thread comes with the first piece and goes with the object; it keeps nothing alive but the work itself.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from protocol.errors import SealError

Result = TypeVar("Result")


class SideThread(Generic[Result]):
    """Does work that touches nothing of its owner's. All methods are called by the owner."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._pieces: dict[str, tuple[Future[Result], Callable[[], Result]]] = {}

    def __len__(self) -> int:
        return len(self._pieces)

    def __contains__(self, key: str) -> bool:
        return key in self._pieces

    @property
    def has_ended(self) -> bool:
        """Say whether `ended` has something to return."""
        first = next(iter(self._pieces.values()), None)
        return first is not None and first[0].done()

    def submit(self, key: str, work: Callable[[], Result]) -> None:
        """Have work done after all that was submitted before."""
        assert key not in self._pieces, key
        self._pieces[key] = self._executor.submit(work), work

    def ended(self, patience_seconds: float = 0.0) -> list[tuple[str, Result | SealError]]:
        """Return the work that has ended, in its order, with its result or the reason why there is none; wait for the first at most
        `patience_seconds`. Raises what is no SealError.
        """
        if patience_seconds and self._pieces:
            wait([next(iter(self._pieces.values()))[0]], timeout=patience_seconds)
        found: list[tuple[str, Result | SealError]] = []
        for key, (future, _) in list(self._pieces.items()):
            if not future.done():
                break  # nor has what comes after it
            del self._pieces[key]
            error = future.exception()
            found.append((key, error if isinstance(error, SealError) else future.result()))
        return found

    def is_under_way(self, key: str, patience_seconds: float) -> bool:
        """Say whether a piece still waits or runs after a wait of at most `patience_seconds`; unknown keys are not."""
        return key in self._pieces and bool(wait([self._pieces[key][0]], timeout=patience_seconds).not_done)

    def take(self, key: str) -> Result:
        """Return the result of one piece now: it is waited for when it is under way, and done here when it has not begun."""
        future, work = self._pieces.pop(key)
        return work() if future.cancel() else future.result()

    def drop(self, key: str) -> None:
        """Forget a piece, after its end when it is under way; unknown keys are ignored.

        A disk that hangs holds this up, as it would hold up the owner's own work.
        """
        piece = self._pieces.pop(key, None)
        if piece is not None and not piece[0].cancel():
            wait([piece[0]])

    def close(self) -> None:
        """Drop everything and end the thread. Idempotent."""
        self._pieces.clear()
        self._executor.shutdown(wait=True, cancel_futures=True)
