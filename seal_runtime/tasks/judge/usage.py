"""Count what the judge was asked and what it cost, and say so in the log now and then."""

import threading
import time
from dataclasses import dataclass

import structlog

from seal_runtime.config.judge import JudgeConfig
from seal_runtime.tasks.judge.endpoint import Reply

log = structlog.get_logger()

_LOG_INTERVAL_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeUsage:
    """Totals of one process: requests that were answered and that failed, verdicts from the cache, tokens, and US dollars."""

    answered: int
    failed: int
    cached: int
    input_tokens: int
    output_tokens: int
    usd: float


class UsageMeter:
    """Thread-safe totals. Logs `judge_usage` with the first reply and then at most once a minute, as totals since the start."""

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._answered = self._failed = self._cached = self._input_tokens = self._output_tokens = 0
        self._logged_at = float("-inf")

    def count_reply(self, reply: Reply) -> None:
        """Count a reply that was paid for."""
        with self._lock:
            self._answered += 1
            self._input_tokens += reply.input_tokens
            self._output_tokens += reply.output_tokens
        self._log_if_due()

    def count_failure(self) -> None:
        """Count a request without a usable reply. It may have cost something that nobody tells."""
        with self._lock:
            self._failed += 1
        self._log_if_due()

    def count_cached(self) -> None:
        """Count a verdict that was known."""
        with self._lock:
            self._cached += 1
        self._log_if_due()

    def usage(self) -> JudgeUsage:
        """Return the totals so far."""
        with self._lock:
            return JudgeUsage(
                answered=self._answered,
                failed=self._failed,
                cached=self._cached,
                input_tokens=self._input_tokens,
                output_tokens=self._output_tokens,
                usd=self._usd(),
            )

    def log_totals(self) -> None:
        """Log the totals now."""
        usage = self.usage()
        log.info(
            "judge_usage",
            model=self._config.model,
            answered=usage.answered,
            failed=usage.failed,
            cached=usage.cached,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            usd=round(usage.usd, 6),
        )

    def _usd(self) -> float:
        config = self._config
        paid = self._input_tokens * config.usd_per_million_input_tokens + self._output_tokens * config.usd_per_million_output_tokens
        return paid / 1e6

    def _log_if_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._logged_at < _LOG_INTERVAL_SECONDS:
                return
            self._logged_at = now
        self.log_totals()
