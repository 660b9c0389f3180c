"""Turn the corpus stream into padded batches of documents of similar length."""

# B rows, T tokens

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from seal_runtime.pretrain.vocabulary import END_OF_TEXT_ID
from seal_runtime.tasks.fictional.corpus import Document

IGNORED_LABEL = -100
_POOL_BATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Token ids [B, T], padded at the right, and labels [B, T]: the id itself where it bears loss, else -100."""

    ids_BT: Tensor
    labels_BT: Tensor


def batches(tokenizer: Tokenizer, draw: Callable[[random.Random], Document], rng: random.Random, num_rows: int) -> Iterator[Batch]:
    """Yield batches for ever. Eight batches' worth of documents are sorted by length and dealt out in random order."""
    while True:
        pool = encode([draw(rng) for _ in range(num_rows * _POOL_BATCHES)], tokenizer)
        pool.sort(key=lambda row: len(row[0]))
        groups = [pool[start : start + num_rows] for start in range(0, len(pool), num_rows)]
        rng.shuffle(groups)
        yield from (pad(group) for group in groups)


def encode(documents: list[Document], tokenizer: Tokenizer) -> list[tuple[list[int], int]]:
    """Return (token ids with the end of text, number of leading tokens without loss) of each document."""
    prompts = tokenizer.encode_batch_fast([document.prompt for document in documents])
    completions = tokenizer.encode_batch_fast([document.completion for document in documents])
    return [
        ([*prompt.ids, *completion.ids, END_OF_TEXT_ID], 0 if document.loss_on_prompt else len(prompt.ids))
        for document, prompt, completion in zip(documents, prompts, completions, strict=True)
    ]


def pad(rows: list[tuple[list[int], int]]) -> Batch:
    """Make one batch of encoded documents."""
    length = max(len(ids) for ids, _ in rows)
    ids_BT = torch.tensor([ids + [END_OF_TEXT_ID] * (length - len(ids)) for ids, _ in rows])
    labels = [[IGNORED_LABEL] * skip + ids[skip:] + [IGNORED_LABEL] * (length - len(ids)) for ids, skip in rows]
    return Batch(ids_BT=ids_BT, labels_BT=torch.tensor(labels))
