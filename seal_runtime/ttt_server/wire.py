"""The published protocol (SEAL, knowledge-incorporation/src/inner/TTT_server.py): one JSON object a request, one a reply.

A field that a request leaves out has the published server's value; fields that it does not know are ignored, as there. What cannot be
understood is a ProtocolError, which the server turns into `{"error": ...}`.
"""

import json
from dataclasses import asdict, dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import ProtocolError

SHUTDOWN = "shutdown"
_MAX_PROBLEMS = 5
_MAX_SHOWN = 80


class EvalQuestion(BaseModel):
    """A question; `title` and `context`, which drivers also send, are not used to answer it."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    question: str
    """The question, with its topic in front."""
    answer: str
    """The gold answer."""


class TttRequest(BaseModel):
    """Client -> server: fine-tune an adapter on `train_sequences` and answer `eval_questions` without and with it."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)

    cmd: str | None = None
    """`shutdown` ends the server; nothing else is a command."""
    train_sequences: tuple[str, ...] | None = None
    """Training texts; none: only the baseline is measured."""
    eval_questions: tuple[EvalQuestion, ...] = ()
    """What is asked."""
    lora_rank: int = 32
    """LoRA rank."""
    lora_alpha: float = Field(default=64.0)
    """LoRA alpha."""
    lora_dropout: float = 0.0
    """Only 0 can be had."""
    finetune_epochs: float = 10
    """Passes over the sequences, a whole number."""
    finetune_lr: float = 1e-3
    """Peak learning rate; it falls to zero linearly."""
    batch_size: int = 1
    """Sequences a micro-batch."""
    gradient_accumulation_steps: int = 1
    """Micro-batches an optimizer step."""
    end_mask_substring: str | None = None
    """The loss begins after the first occurrence of this text."""
    skip_training: bool | int | None = False
    """Measure only the baseline."""

    @property
    def wants_training(self) -> bool:
        """Say whether there is an adapter to train."""
        return bool(self.train_sequences) and not self.skip_training


@dataclass(frozen=True, slots=True, kw_only=True)
class TttReply:
    """Server -> client. Accuracies are shares of right answers; `gains` are 1 (newly right), -1 (newly wrong) or 0 for each question."""

    baseline_accuracy: float
    adapter_accuracy: float
    adapter_gain: float
    baseline_texts: tuple[str, ...]
    adapter_texts: tuple[str, ...]
    baseline_correct: tuple[bool, ...]
    adapter_correct: tuple[bool, ...]
    gains: tuple[int, ...]


def parse_request(body: bytes) -> TttRequest:
    """Return the request in a frame. Raises ProtocolError that names the fields that are wrong."""
    try:
        request = TttRequest.model_validate_json(body)
    except ValidationError as error:
        raise ProtocolError(_problems(error)) from error
    if request.cmd not in (None, SHUTDOWN):
        raise ProtocolError(f"cmd: expected {SHUTDOWN!r} or no command, got {request.cmd[:_MAX_SHOWN]!r}")
    return request


def reply_bytes(reply: TttReply) -> bytes:
    """Return the frame of a reply."""
    return json.dumps(asdict(reply)).encode()


def error_bytes(error: str) -> bytes:
    """Return the frame that says why there is no result."""
    return json.dumps({"error": error}).encode()


def bye_bytes() -> bytes:
    """Return the answer to a shutdown."""
    return json.dumps({"status": "bye"}).encode()


def _problems(error: ValidationError) -> str:
    shown = [
        f"{'.'.join(map(str, problem['loc'])) or 'request'}: {problem['msg']}, got {_shown(problem['input'])}"
        for problem in error.errors(include_url=False)[:_MAX_PROBLEMS]
    ]
    return "; ".join(shown)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
