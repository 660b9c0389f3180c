"""What the state machine asks of its shell. Commits are carried out, in one transaction, before anything else of the same batch."""

from dataclasses import dataclass
from typing import Literal

from protocol.jobs import AdapterRef
from protocol.messages import ToAgent
from seal_runtime.algorithms.continual import ContinualFigures
from seal_runtime.controller.study import Purpose
from seal_runtime.ledger.records import Record
from seal_runtime.metrics.texts import TextFigures

EndPhase = Literal["done", "stopped", "failed"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Write a record to the ledger."""

    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPolicy:
    """Copy the adapter of a new policy version (None: it adds none) into the run's `policies/`, durably, before the commits.

    `chain` is the whole lineage, oldest first.
    """

    version: int
    parent: int
    round: int
    adapter: AdapterRef | None
    chain: tuple[AdapterRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTo:
    """Send a message to an agent; one that is gone is ignored."""

    agent: str
    message: ToAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetAdapter:
    """Delete an inner-loop adapter from the store: it was graded, or nothing will ever grade it."""

    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteMetrics:
    """Append the figures of a finished study to metrics.jsonl. `seconds` is from its opening to its last score.

    `edits_per_hour` are its scored edits over that time. `time_shares` says what the agents did meanwhile (`controller.time_shares`),
    None where nobody was there. `texts` is None where no self-edit was written, `continual` but in a continual study.
    """

    study: str
    purpose: Purpose
    policy_version: int
    num_items: int
    num_scored: int
    num_invalid: int
    num_unparsed: int
    mean_score: float | None
    score_stderr: float | None
    seconds: float
    edits_per_hour: float | None
    time_shares: dict[str, float] | None
    texts: TextFigures | None
    continual: ContinualFigures | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """Write an event to the controller's log."""

    level: LogLevel
    name: str
    fields: dict[str, LogValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The run is over: every later event changes nothing."""

    phase: EndPhase
    reason: str


Command = Commit | KeepPolicy | SendTo | ForgetAdapter | WriteMetrics | LogEvent | Finish
