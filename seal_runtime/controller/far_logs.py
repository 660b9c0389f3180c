"""Keep the log lines of agents that have no disk in common with the run: each agent's go to its own file in the run's `logs`.

Invariants: the file's name comes from the controller's own table of agents, never from a message; every line is a JSON object that names
its true sender, whatever the sender wrote; no agent can fill the disk (rotation) or hold the controller up (an allowance of bytes).
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from protocol.jobs import Role
from protocol.messages import LogLines
from seal_runtime.store.log_file import LogFile, Rotation
from seal_runtime.store.run_directory import RunDirectory

log = structlog.get_logger()

BYTES_PER_SECOND = 512 << 10
MAX_SAVED_SECONDS = 4.0
"""An agent that was silent may send so many seconds' worth at once."""


@dataclass(slots=True, kw_only=True)
class _Account:
    """What an agent may still send, as of `at` (seconds, monotonic), and how many of its lines were refused since the last told."""

    num_bytes: float
    at: float
    num_refused: int = 0


class FarLogs:
    """Appends LogLines to `logs/<agent>.jsonl`. Files are open only while a batch is written."""

    def __init__(self, run: RunDirectory, rotation: Rotation) -> None:
        self._run = run
        self._rotation = rotation
        self._accounts: dict[str, _Account] = {}
        self._is_failing = False

    def take(self, agent: str, role: Role, run_id: str, message: LogLines, now: float) -> None:
        """Write a batch of the agent that speaks on the connection; a full disk costs the lines and nothing else."""
        sender = {"run": run_id, "agent": agent, "role": role}
        account = self._account(agent, now)
        lines = []
        num_lost = message.num_dropped
        for text in message.lines:
            account.num_bytes -= len(text)
            line = _line(text, sender) if account.num_bytes >= 0 else None
            if line is None:
                account.num_refused += 1
            else:
                lines.append(line)
        account.num_bytes = max(account.num_bytes, 0.0)
        if lines or num_lost:
            num_lost, account.num_refused = num_lost + account.num_refused, 0
            self._write(agent, [*_told(num_lost, sender), *lines])

    def _account(self, agent: str, now: float) -> _Account:
        most = BYTES_PER_SECOND * MAX_SAVED_SECONDS
        account = self._accounts.setdefault(agent, _Account(num_bytes=most, at=now))
        account.num_bytes = min(most, account.num_bytes + BYTES_PER_SECOND * (now - account.at))
        account.at = now
        return account

    def _write(self, agent: str, lines: list[str]) -> None:
        try:
            file = LogFile(self._run.log(agent), self._rotation)
            try:
                for line in lines:
                    file.write(line)
            finally:
                file.close()
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                log.warning("far_log_lost", worker=agent, reason=str(error))
            self._is_failing = True


def _line(text: str, sender: dict[str, str]) -> str | None:
    """Return a line with its true sender, None when it is no event: a JSON object with a time as the logs write it."""
    try:
        fields = json.loads(text)
        time = datetime.fromisoformat(fields["time"]).astimezone(UTC).isoformat(timespec="milliseconds")
        return json.dumps(fields | {"time": time} | sender)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _told(num_lost: int, sender: dict[str, str]) -> list[str]:
    """Return a line that says how many are missing here, if any are."""
    if not num_lost:
        return []
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return [json.dumps({"count": num_lost, "event": "log_lines_dropped", "level": "warning", "time": time} | sender)]
