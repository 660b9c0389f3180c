"""Which inner-loop adapters are still asked for. One that nothing will ask for again is deleted."""

from collections import Counter

from protocol.jobs import AdapterRef
from seal_runtime.controller.commands import Command, ForgetAdapter
from seal_runtime.controller.lineage import Lineage


class HeldAdapters:
    """Counts the uses that each adapter has before it; policies are needed for ever."""

    def __init__(self, lineage: Lineage, *, keeps_all: bool) -> None:
        self._lineage = lineage
        self._keeps_all = keeps_all
        self._uses: Counter[str] = Counter()

    def hold(self, adapter: AdapterRef, uses: int = 1) -> None:
        """Note that an adapter will be used so many times more."""
        self._uses[adapter.sha256] += uses

    def release(self, adapter: AdapterRef) -> list[Command]:
        """Note that one use is over; return the command that deletes the adapter when it was the last."""
        self._uses[adapter.sha256] -= 1
        return self.forget_unless_needed(adapter)

    def needs(self, sha256: str) -> bool:
        """Say whether an adapter is a policy's or will be used."""
        return self._uses[sha256] > 0 or self._lineage.holds(sha256)

    def forget_unless_needed(self, adapter: AdapterRef) -> list[Command]:
        """Return the command that deletes an adapter which nothing will ask for again, or none."""
        if self._keeps_all or self.needs(adapter.sha256):
            return []
        return [ForgetAdapter(sha256=adapter.sha256)]
