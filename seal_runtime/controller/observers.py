"""What the run's observers may ask of the controller: how it goes, to stop, to drain an agent, to scale a role.

Invariant: a request is answered once, after what it asks for is committed or given to the state machine.
"""

import dataclasses
import difflib
import time
from collections.abc import Callable

import structlog

from protocol.messages import Done, DrainRequest, FromObserver, Reject, ScaleRequest, StatusReply, StatusRequest, StopRequest, ToObserver
from protocol.router import ControllerSocket
from protocol.status import RunStatus
from seal_runtime.controller.events import DrainRequested, Event, StopRequested
from seal_runtime.controller.state import RunState
from seal_runtime.controller.wanted import WantedCounts
from seal_runtime.errors import LedgerError

log = structlog.get_logger()

OBSERVER_MEMORY_SECONDS = 3.0
"""An observer that asked within this time before the end waits to hear how it ended."""


class ObserverDesk:
    """Answers observers. `feed` gives an event to the state machine."""

    def __init__(self, *, state: RunState, socket: ControllerSocket, wanted: WantedCounts, feed: Callable[[Event], None]) -> None:
        self._state = state
        self._socket = socket
        self._wanted = wanted
        self._feed = feed
        self._asked_at: dict[bytes, float] = {}
        self._informed: set[bytes] = set()

    def receive(self, peer_id: bytes, message: FromObserver) -> None:
        """Answer one request."""
        match message:
            case StatusRequest():
                self._answer(peer_id, self._status(peer_id))
            case StopRequest():
                self._feed(StopRequested(reason=message.reason))
                self._answer(peer_id, Done())
            case DrainRequest():
                self._answer(peer_id, self._drain(message))
            case ScaleRequest():
                self._answer(peer_id, self._scale(message))

    def status(self) -> RunStatus:
        """Return the run's status now, completed with what only the shell knows."""
        status = self._state.status(time.monotonic())
        frames_dropped = status.frames_dropped + self._socket.frames_dropped
        return dataclasses.replace(status, frames_dropped=frames_dropped, wanted=self._wanted.all())

    def all_know_the_end(self, ended_at: float) -> bool:
        """Say whether everyone who was watching when the run ended has seen its last status."""
        watching = {peer for peer, asked_at in self._asked_at.items() if ended_at - asked_at < OBSERVER_MEMORY_SECONDS}
        return watching <= self._informed

    def _status(self, peer_id: bytes) -> StatusReply:
        now = time.monotonic()
        self._asked_at = {peer: asked_at for peer, asked_at in self._asked_at.items() if now - asked_at < OBSERVER_MEMORY_SECONDS}
        self._asked_at[peer_id] = now
        if self._state.finish is not None:
            self._informed.add(peer_id)
        return StatusReply(status=self.status())

    def _drain(self, message: DrainRequest) -> Done | Reject:
        names = [entry.name for entry in self._state.agents.all()]
        if message.agent in names:
            self._feed(DrainRequested(agent=message.agent))
            return Done()
        near = difflib.get_close_matches(message.agent, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(names)) or 'none'}"
        return Reject(reason=f"no agent is called {message.agent!r}{hint}")

    def _scale(self, message: ScaleRequest) -> Done | Reject:
        if self._state.finish is not None:
            return Reject(reason=f"the run is over ({self._state.finish.phase})")
        problem = self._wanted.why_impossible(message.role, message.count)
        if problem is not None:
            return Reject(reason=problem)
        before = self._wanted.count(message.role)
        try:
            self._wanted.change(message.role, message.count)
        except LedgerError as error:
            log.error("scale_not_kept", worker_role=message.role, reason=str(error))
            return Reject(reason=str(error))
        log.info("role_scaled", worker_role=message.role, wanted_before=before, wanted=message.count)
        return Done()

    def _answer(self, peer_id: bytes, message: ToObserver) -> None:
        self._socket.send(peer_id, message)
