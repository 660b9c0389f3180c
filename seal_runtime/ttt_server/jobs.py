"""From a request to the jobs of a trainer and an evaluator: training texts, questions, hyper-parameters, seed. Pure.

Departures from the published server, which draws its seed from the clock: the seed derives from the server's seed, from what is trained
and from how often it was asked for before, so replicates differ and a server that is started again gives the same results.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from protocol.errors import ProtocolError
from protocol.jobs import LoraSpec, OptimSpec, Question, TrainingSequence
from seal_runtime.config.hyperparameters import LoraConfig, OptimConfig
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.graders import Grade
from seal_runtime.tasks.prompts import asked_question, question_prompt
from seal_runtime.ttt_server.wire import TttRequest

QUESTIONS_A_JOB = 64
"""Questions examined in one job; the jobs of one adapter are graded side by side."""

_INSTRUCT_START = "<|im_start|>system\nYou are an assistant to answer a question directly and concisely.<|im_end|>\n<|im_start|>user\n"
_INSTRUCT_END = "<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRules:
    """What the server, not the request, decides. `optim` gives what requests cannot say (schedule, clip, longest sequence)."""

    seed: int
    targets: tuple[str, ...]
    optim: OptimConfig
    pad_loss: str
    max_new_tokens: int
    is_instruct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a request wants trained. `content` identifies it: equal trainings have equal contents."""

    sequences: tuple[TrainingSequence, ...]
    lora: LoraSpec
    optim: OptimSpec
    content: str


def training_of(request: TttRequest, rules: ServerRules) -> Training | None:
    """Return what shall be trained, None for nothing. Raises ProtocolError for hyper-parameters that cannot be had."""
    if not request.wants_training:
        return None
    if request.lora_dropout != 0:
        raise ProtocolError(f"lora_dropout: expected 0 (adapters are trained without dropout), got {request.lora_dropout:g}")
    if request.finetune_epochs != int(request.finetune_epochs):
        raise ProtocolError(f"finetune_epochs: expected a whole number, got {request.finetune_epochs:g}")
    if request.batch_size < 1 or request.gradient_accumulation_steps < 1:
        given = f"{request.batch_size} and {request.gradient_accumulation_steps}"
        raise ProtocolError(f"batch_size, gradient_accumulation_steps: expected at least 1, got {given}")
    settings = rules.optim.model_dump() | {
        "learning_rate": request.finetune_lr,
        "epochs": int(request.finetune_epochs),
        "batch_size": request.batch_size * request.gradient_accumulation_steps,
    }
    try:
        lora = LoraConfig(rank=request.lora_rank, alpha=request.lora_alpha, targets=rules.targets)
        optim = OptimConfig.model_validate(settings)
    except ValidationError as error:
        problems = [f"{problem['loc'][-1]}: {problem['msg']}, got {problem['input']}" for problem in error.errors(include_url=False)]
        raise ProtocolError("; ".join(problems)) from error
    texts = request.train_sequences or ()
    sequences = tuple(_sequence(text, request.end_mask_substring or "") for text in texts)
    return Training(sequences=sequences, lora=lora.spec(), optim=optim.spec(pad_loss=rules.pad_loss), content=_digest(request))


def training_seed(rules: ServerRules, training: Training, occurrence: int) -> int:
    """Return the seed of the training that was asked for `occurrence` times before."""
    return derive_seed(rules.seed, "ttt", training.content, occurrence)


def questions_of(request: TttRequest, rules: ServerRules) -> tuple[tuple[Question, ...], ...]:
    """Return the questions in parts that fit a job, in their order."""
    questions = [
        Question(question_id=str(index), prompt=_prompt(asked.question, rules.is_instruct), answers=(asked.answer,))
        for index, asked in enumerate(request.eval_questions)
    ]
    return tuple(tuple(questions[start : start + QUESTIONS_A_JOB]) for start in range(0, len(questions), QUESTIONS_A_JOB))


def served_grade(grade: Grade) -> Grade:
    """Return a grader as the protocol needs it: an empty answer is wrong without asking, and the question has no prompt around it."""

    def graded(question: Question, answer: str) -> float:
        if not answer.strip():
            return 0.0
        return grade(replace(question, prompt=_bare(question.prompt)), answer)

    return graded


def request_key(request: TttRequest) -> str:
    """Return what identifies a whole request: a client that asks again after a timeout has the same key."""
    return hashlib.blake2b(request.model_dump_json().encode(), digest_size=16).hexdigest()


def _sequence(text: str, end_mask: str) -> TrainingSequence:
    """Return the training text; without loss up to the end of the first `end_mask` in it."""
    before, found, after = text.partition(end_mask) if end_mask else ("", "", text)
    if not found:
        return TrainingSequence(prompt="", completion=text, weight=1.0)
    return TrainingSequence(prompt=before + found, completion=after, weight=1.0)


def _digest(request: TttRequest) -> str:
    fields = request.model_dump(exclude={"cmd", "eval_questions", "skip_training"})
    return hashlib.blake2b(json.dumps(fields, sort_keys=True).encode(), digest_size=16).hexdigest()


def _prompt(question: str, is_instruct: bool) -> str:
    return f"{_INSTRUCT_START}{question}{_INSTRUCT_END}" if is_instruct else question_prompt(question)


def _bare(prompt: str) -> str:
    if prompt.startswith(_INSTRUCT_START) and prompt.endswith(_INSTRUCT_END):
        return prompt.removeprefix(_INSTRUCT_START).removesuffix(_INSTRUCT_END)
    return asked_question(prompt)


def accuracy(verdicts: Sequence[bool]) -> float:
    """Return the share of right answers; 0 when nothing was asked."""
    return sum(verdicts) / len(verdicts) if verdicts else 0.0
