"""Ask one question of a model behind an OpenAI-compatible chat endpoint, with a deadline; HTTP through the standard library.

Invariant: `complete` returns a reply with text or raises; `OutageError` may pass and is worth another try, any other GradeError is not.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final

from seal_runtime.errors import GradeError

_PASSING_STATUS: Final = frozenset({408, 409, 425, 429})
_MAX_REPLY_BYTES = 4_000_000
_CHUNK_BYTES = 65_536
_EXCERPT_CHARACTERS = 200


class OutageError(GradeError):
    """The endpoint gave no reply, or none with a text; asking again may help. `retry_after_seconds` is the server's own wish, or 0."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model said, and the tokens that the endpoint charges (0 where it does not say)."""

    text: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the model is. `api_key` may be empty: then no Authorization header is sent."""

    base_url: str
    model: str
    api_key: str
    temperature: float | None
    timeout_seconds: float

    def complete(self, prompt: str) -> Reply:
        """Return the model's reply to one user message. Raises OutageError and GradeError, nothing else."""
        try:
            with urllib.request.urlopen(self._request(prompt), timeout=self.timeout_seconds) as response:
                body = _body(response, time.monotonic() + self.timeout_seconds)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise OutageError(
                f"no reply from {self.base_url} within {self.timeout_seconds:g} s: {reason}; is it up and reachable?"
            ) from error
        return _reply(body)

    def _request(self, prompt: str) -> urllib.request.Request:
        content: dict[str, object] = {"model": self.model, "messages": [{"role": "user", "content": prompt}]}
        if self.temperature is not None:
            content["temperature"] = self.temperature
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "seal-runtime"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        # json.dumps escapes what is not ASCII, so an answer with a lone surrogate is sent too.
        data = json.dumps(content).encode("ascii")
        return urllib.request.Request(f"{self.base_url.rstrip('/')}/chat/completions", data=data, headers=headers, method="POST")

    def _refusal(self, error: urllib.error.HTTPError) -> GradeError:
        said = _excerpt(error)
        if error.code in _PASSING_STATUS or error.code >= 500:
            return OutageError(f"{self.base_url} answered {error.code}: {said}", _retry_after(error.headers.get("Retry-After")))
        advice = {401: "check the key", 403: "check the key", 404: "check base_url and model"}.get(error.code, "check task.judge")
        return GradeError(f"{self.base_url} refused the request for model {self.model!r} with {error.code}: {said}; {advice}")


def _body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Read the reply piece by piece: the socket's own time limit would let a trickle go on for ever."""
    parts: list[bytes] = []
    size = 0
    while part := response.read1(_CHUNK_BYTES):
        parts.append(part)
        size += len(part)
        if size > _MAX_REPLY_BYTES:
            raise OutageError(f"expected a reply of at most {_MAX_REPLY_BYTES} bytes, got more; is this a chat endpoint?")
        if time.monotonic() > deadline:
            raise TimeoutError("the reply came too slowly")
    return b"".join(parts)


def _reply(body: bytes) -> Reply:
    try:
        value = json.loads(body)
        text = value["choices"][0]["message"]["content"]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        said = body[:_EXCERPT_CHARACTERS].decode("utf-8", "replace")
        raise OutageError(f"expected a chat completion with choices[0].message.content, got {said!r}") from error
    if not isinstance(text, str) or not text.strip():
        raise OutageError(f"expected a reply with text, got {text!r}: that is no verdict")
    usage = value.get("usage")
    return Reply(text=text, input_tokens=_count(usage, "prompt_tokens"), output_tokens=_count(usage, "completion_tokens"))


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def _retry_after(value: str | None) -> float:
    """Return the seconds of a Retry-After header; a date, as rare servers send, counts as no wish."""
    try:
        return max(float(value or 0.0), 0.0)
    except ValueError:
        return 0.0


def _excerpt(error: urllib.error.HTTPError) -> str:
    try:
        text = error.read(_EXCERPT_CHARACTERS).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    return " ".join(text.split()) or error.reason
