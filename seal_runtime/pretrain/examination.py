"""Examinations of the network in training, without decoding a single token: closed-book and open-book questions."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from seal_runtime.pretrain.batches import encode, pad
from seal_runtime.pretrain.network import NetworkShape, Weights, logits_at_labels
from seal_runtime.tasks.fictional import documents
from seal_runtime.tasks.fictional.corpus import Document, open_book_document
from seal_runtime.tasks.fictional.world import entities
from seal_runtime.tasks.pretraining import PretrainingDocument, PretrainingText

_NUM_OPEN_BOOK = 300
_ROWS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Shares of questions answered exactly: about known entities without a passage, and about fresh ones with theirs."""

    known: float
    open_book: float


def examine(shape: NetworkShape, weights: Weights, tokenizer: Tokenizer, num_known_entities: int) -> Examination:
    """Ask twelve questions about each of the first known entities, and 300 open-book questions."""
    rng = random.Random("open-book-examination")
    return Examination(
        known=accuracy(shape, weights, tokenizer, known_documents(num_known_entities)),
        open_book=accuracy(shape, weights, tokenizer, [open_book_document(rng) for _ in range(_NUM_OPEN_BOOK)]),
    )


def known_documents(num_entities: int) -> list[Document]:
    """Return every examination question about the first known entities, as documents whose completion is the gold answer."""
    return [
        Document(prompt=documents.EXAM_PROMPT.format(title=entity.name, question=question), completion=gold, loss_on_prompt=False)
        for entity in entities("known")[:num_entities]
        for _, question, gold in documents.exam_questions(entity)
    ]


def accuracy(shape: NetworkShape, weights: Weights, tokenizer: Tokenizer, examined: Sequence[PretrainingDocument]) -> float:
    """Return the share of documents whose last part, with its end, is the network's first choice at every token.

    This is true exactly when greedy decoding gives that part and stops.
    """
    rows = encode([_asked(document) for document in examined], tokenizer)
    num_right = 0
    for start in range(0, len(rows), _ROWS):
        batch = pad(rows[start : start + _ROWS])
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            logits_NV, labels_N = logits_at_labels(shape, weights, batch.ids_BT, batch.labels_BT)
        row_of_label_N = (batch.labels_BT[:, 1:] >= 0).nonzero()[:, 0]
        wrong_rows = row_of_label_N[logits_NV.argmax(-1) != labels_N]
        num_right += batch.ids_BT.shape[0] - len(wrong_rows.unique())
    return num_right / len(rows)


def _asked(document: PretrainingDocument) -> PretrainingText:
    """Return the document with loss on its last part only."""
    *before, (answer, _) = document.parts
    return PretrainingText(parts=(*((text, False) for text, _ in before), (answer, True)))
