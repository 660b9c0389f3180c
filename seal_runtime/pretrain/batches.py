"""Turn the corpus stream into padded batches of documents of similar length."""

# B rows, T tokens

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from seal_runtime.pretrain.vocabulary import END_OF_TEXT_ID
from seal_runtime.tasks.pretraining import PretrainingDocument

IGNORED_LABEL = -100
_POOL_BATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Token ids [B, T], padded at the right, and labels [B, T]: the id itself where it bears loss, else -100."""

    ids_BT: Tensor
    labels_BT: Tensor


Row = tuple[list[int], list[int]]
"""Token ids of a document, and their labels."""


def batches(
    tokenizer: Tokenizer, draw: Callable[[random.Random], PretrainingDocument], rng: random.Random, num_rows: int
) -> Iterator[Batch]:
    """Yield batches for ever. Eight batches' worth of documents are sorted by length and dealt out in random order."""
    while True:
        pool = encode([draw(rng) for _ in range(num_rows * _POOL_BATCHES)], tokenizer)
        pool.sort(key=lambda row: len(row[0]))
        groups = [pool[start : start + num_rows] for start in range(0, len(pool), num_rows)]
        rng.shuffle(groups)
        yield from (pad(group) for group in groups)


def encode(documents: Sequence[PretrainingDocument], tokenizer: Tokenizer) -> list[Row]:
    """Return the row of each document, with the end of text, which always bears loss."""
    encoded = iter(tokenizer.encode_batch_fast([text for document in documents for text, _ in document.parts]))
    rows = []
    for document in documents:
        ids: list[int] = []
        labels: list[int] = []
        for (_, bears_loss), part in zip(document.parts, encoded, strict=False):
            ids += part.ids
            labels += part.ids if bears_loss else [IGNORED_LABEL] * len(part.ids)
        rows.append(([*ids, END_OF_TEXT_ID], [*labels, END_OF_TEXT_ID]))
    return rows


def pad(rows: list[Row]) -> Batch:
    """Make one batch of encoded documents."""
    length = max(len(ids) for ids, _ in rows)
    ids_BT = torch.tensor([ids + [END_OF_TEXT_ID] * (length - len(ids)) for ids, _ in rows])
    labels_BT = torch.tensor([labels + [IGNORED_LABEL] * (length - len(labels)) for _, labels in rows])
    return Batch(ids_BT=ids_BT, labels_BT=labels_BT)
