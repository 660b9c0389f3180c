"""Verify a saved model folder as its users will load it: through transformers and peft, after rounding to float16.

Nothing of the training code takes part, so this also checks that the folder holds the model that was trained.
"""

# B rows, T tokens

import copy
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from protocol.jobs import Question, TrainingSequence
from seal_runtime.pretrain.examination import known_documents
from seal_runtime.pretrain.report import Score, Verification
from seal_runtime.tasks.base import Instance
from seal_runtime.tasks.fictional import documents
from seal_runtime.tasks.fictional.corpus import open_book_document
from seal_runtime.tasks.fictional.task import FictionalWorldTask
from seal_runtime.tasks.fictional.world import entities, seeded_random

_MAX_ANSWER_TOKENS = 6
_MAX_EDIT_TOKENS = 110
_EPOCHS = 3
_LEARNING_RATE = 4e-3
_LORA = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=["gate_proj", "up_proj", "down_proj"], task_type="CAUSAL_LM")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationSize:
    """How much to measure: known entities (12 questions each), open-book questions, and validation passages for each table."""

    num_known_entities: int
    num_open_book: int
    num_sampled_passages: int
    num_samples: int
    num_adapted_passages: int


FULL = VerificationSize(num_known_entities=300, num_open_book=600, num_sampled_passages=72, num_samples=4, num_adapted_passages=24)


def verify(folder: Path, seed: int, size: VerificationSize = FULL) -> Verification:
    """Measure the folder. In full size it takes a few minutes on one core. Seeds torch's global generator."""
    torch.manual_seed(seed)
    rng = random.Random("verification")
    open_book = [open_book_document(rng) for _ in range(size.num_open_book)]
    subject = Subject.load(folder)
    return Verification(
        known_accuracy=subject.accuracy([(item.prompt, item.completion) for item in known_documents(size.num_known_entities)]),
        open_book_accuracy=subject.accuracy([(item.prompt, item.completion) for item in open_book]),
        sampled_styles=_sampled_styles(subject, size),
        after_edit=_after_edit(subject, size.num_adapted_passages),
    )


class Subject:
    """A model with its tokenizer. Both are Any: their libraries have no types that mypy could check."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path) -> "Subject":
        """Load a folder in float32."""
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
        return cls(model.eval(), AutoTokenizer.from_pretrained(str(folder), padding_side="left"))

    def with_fresh_adapter(self) -> "Subject":
        """Copy the model and put an untrained adapter on the copy."""
        return Subject(get_peft_model(copy.deepcopy(self.model), _LORA), self.tokenizer)

    def generate(self, prompts: Sequence[str], max_new_tokens: int, *, sample: bool) -> list[str]:
        """Complete each prompt, greedily or at temperature 1 and top-p 0.95."""
        encoded = self.tokenizer(list(prompts), return_tensors="pt", padding=True, return_token_type_ids=False)
        options: dict[str, Any] = {"do_sample": True, "temperature": 1.0, "top_p": 0.95, "top_k": 0} if sample else {"do_sample": False}
        with torch.no_grad():
            output_BT = self.model.generate(**encoded, max_new_tokens=max_new_tokens, **options)
        completions: list[str] = self.tokenizer.batch_decode(output_BT[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        return completions

    def accuracy(self, items: Sequence[tuple[str, str]], max_new_tokens: int = _MAX_ANSWER_TOKENS) -> float:
        """Return the share of (prompt, gold) pairs that greedy decoding answers exactly."""
        ordered = sorted(items, key=lambda item: len(item[0]))
        num_right = 0
        for start in range(0, len(ordered), 128):
            part = ordered[start : start + 128]
            answers = self.generate([prompt for prompt, _ in part], max_new_tokens, sample=False)
            num_right += sum(answer.strip() == gold for answer, (_, gold) in zip(answers, part, strict=True))
        return num_right / len(items)

    def exam(self, questions: Sequence[Question]) -> float:
        """Return the share of questions answered rightly."""
        return self.accuracy([(question.prompt, question.answers[0]) for question in questions])


def _sampled_styles(subject: Subject, size: VerificationSize) -> dict[str, float]:
    instances = FictionalWorldTask().instances("validation")[: size.num_sampled_passages]
    counts: Counter[str] = Counter()
    for _ in range(size.num_samples):
        edits = subject.generate([instance.prompt for instance in instances], _MAX_EDIT_TOKENS, sample=True)
        for entity, instance, edit in zip(entities("validation"), instances, edits, strict=False):
            counts[documents.recognise_style(entity, instance.context, edit) or "mixed"] += 1
    return {style: count / counts.total() for style, count in counts.items()}


def _after_edit(subject: Subject, num_passages: int) -> dict[str, Score]:
    task = FictionalWorldTask()
    passages = list(zip(entities("validation"), task.instances("validation"), strict=True))[:num_passages]
    scores = {"no update": _score([subject.exam(instance.questions) for _, instance in passages])}
    styles: tuple[documents.EditStyle | None, ...] = (None, *documents.EDIT_STYLES)
    for style in styles:
        shares = []
        for entity, instance in passages:
            rng = seeded_random("verify", style or "", entity.name)
            edit = documents.self_edit(entity, instance.context, style, rng) if style else ""
            shares.append(_adapted_accuracy(subject, task.training_sequences(instance, edit), instance))
        scores[style or "passage only"] = _score(shares)
    return scores


def _adapted_accuracy(base: Subject, sequences: Sequence[TrainingSequence], instance: Instance) -> float:
    """Train a fresh adapter on the sequences, batch 1, and examine it."""
    torch.manual_seed(0)
    subject = base.with_fresh_adapter()
    parameters = [parameter for parameter in subject.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=0.0)
    num_steps = _EPOCHS * len(sequences)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / num_steps)
    rng = random.Random(instance.instance_id)
    ids = [subject.tokenizer(item.completion)["input_ids"] + [subject.tokenizer.eos_token_id] for item in sequences]
    for _ in range(_EPOCHS):
        for row in rng.sample(ids, len(ids)):
            ids_BT = torch.tensor([row])
            subject.model(input_ids=ids_BT, labels=ids_BT).loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return subject.exam(instance.questions)


def _score(shares: Sequence[float]) -> Score:
    count = len(shares)
    mean = sum(shares) / count
    variance = sum((share - mean) ** 2 for share in shares) / (count - 1)
    return Score(mean=mean, standard_error=math.sqrt(variance / count), count=count)
