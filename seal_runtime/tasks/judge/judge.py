"""The judge: is this answer right, given the gold answer? Asks a model, with retries, and remembers what it said.

Invariant: `grade` returns a verdict that the model gave, or raises GradeError; an outage is never a grade. An empty answer is wrong
without asking, as in the paper. Thread-safe: graders call it from many threads, `max_concurrent` of them ask at once.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from seal_runtime.config.judge import JudgeConfig
from seal_runtime.config.machine import openai_base_url, secret, user_cache_dir
from seal_runtime.tasks.judge.endpoint import Endpoint, OutageError, Reply
from seal_runtime.tasks.judge.prompt import judge_prompt, says_yes
from seal_runtime.tasks.judge.usage import JudgeUsage, UsageMeter
from seal_runtime.tasks.judge.verdicts import VerdictCache, verdict_key

log = structlog.get_logger()

MAX_PAUSE_SECONDS = 60.0


class Judge:
    """A model that grades. Makes no request before the first answer comes."""

    def __init__(self, config: JudgeConfig, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._config = config
        self._sleep = sleep
        self._endpoint = Endpoint(
            base_url=config.base_url or openai_base_url(),
            model=config.model,
            api_key=secret(config.api_key_env),
            temperature=config.temperature,
            timeout_seconds=config.timeout_seconds,
        )
        self._requests = threading.BoundedSemaphore(config.max_concurrent)
        self._meter = UsageMeter(config)
        self._cache = VerdictCache(_cache_folder(config)) if config.cache else None

    def grade(self, question: str, gold_answers: Sequence[str], answer: str) -> float:
        """Return 1.0 when the judge says yes and 0.0 when it does not. Several gold answers are alternatives. Raises GradeError."""
        if not answer.strip():
            return 0.0
        prompt = judge_prompt(question, " or ".join(gold_answers), answer)
        key = verdict_key(self._endpoint.base_url, self._config.model, self._config.temperature, prompt)
        known = self._cache.get(key) if self._cache is not None else None
        if known is not None:
            self._meter.count_cached()
            return float(says_yes(known))
        reply = self._asked(prompt, key)
        if self._cache is not None:
            self._cache.put(key, self._config.model, reply)
        return float(says_yes(reply.text))

    def usage(self) -> JudgeUsage:
        """Return what was asked so far and what it cost."""
        return self._meter.usage()

    def close(self) -> None:
        """Log the totals and close the cache. Idempotent; the judge may go on without a cache."""
        self._meter.log_totals()
        if self._cache is not None:
            self._cache.close()

    def _asked(self, prompt: str, key: str) -> Reply:
        """Return a reply, after as many tries as the configuration allows. A pause holds no place among the requests."""
        for attempt in range(self._config.max_retries + 1):
            try:
                with self._requests:
                    reply = self._endpoint.complete(prompt)
            except OutageError as error:
                self._meter.count_failure()
                if attempt == self._config.max_retries:
                    raise
                pause = self._pause_seconds(attempt, key, error.retry_after_seconds)
                log.warning("judge_failed", reason=str(error), attempt=attempt + 1, pause_seconds=round(pause, 2))
                self._sleep(pause)
            else:
                self._meter.count_reply(reply)
                return reply
        raise AssertionError("the loop returns or raises")

    def _pause_seconds(self, attempt: int, key: str, wished_seconds: float) -> float:
        """Return the doubling pause, spread over half to all of it by the question's hash so that threads do not return together."""
        spread = 0.5 + int(hashlib.sha256(f"{key}/{attempt}".encode()).hexdigest()[:8], 16) / 2**33
        doubled = self._config.backoff_seconds * 2.0 ** min(attempt, 16)
        return min(max(doubled * spread, wished_seconds), MAX_PAUSE_SECONDS)


def _cache_folder(config: JudgeConfig) -> Path:
    return Path(config.cache_dir).expanduser() if config.cache_dir is not None else user_cache_dir() / "judge"
