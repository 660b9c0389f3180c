"""A tokenizer for models that have none (`random:`): trained on the benchmark's own texts until they are as long as with a real one.

A byte a token would make the sequences four times as long as they are for a language model with a vocabulary of its own. The published
edits have 449 tokens an edit with Qwen2.5's tokenizer, one for 4.3 characters. A byte-pair encoding is therefore trained on
the texts themselves, and with an ever smaller vocabulary until the texts are at least that long.
"""

from collections.abc import Sequence
from dataclasses import replace

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from seal_runtime.bench.edits import BenchEdit
from seal_runtime.engines.model_loading import LoadedModel

CHARACTERS_A_TOKEN = 4.3
_EOS = "<|endoftext|>"
_LARGEST = 16_384
_SMALLEST = 512


def with_stand_in_tokenizer(loaded: LoadedModel, edits: Sequence[BenchEdit]) -> LoadedModel:
    """Return the same model with a tokenizer trained on the edits; one of a vocabulary too small for that is returned as it is."""
    vocabulary = int(loaded.model.config.vocab_size)
    if vocabulary < _SMALLEST:
        return loaded
    texts = [sequence.completion for edit in edits for sequence in edit.sequences]
    num_characters = sum(map(len, texts))
    size = min(_LARGEST, vocabulary - 1)
    tokenizer = _trained(texts, size)
    while size > _SMALLEST and num_characters > CHARACTERS_A_TOKEN * sum(len(tokenizer.encode(text).ids) for text in texts):
        size = size * 3 // 4
        tokenizer = _trained(texts, size)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_EOS, pad_token=_EOS)
    eos = int(wrapped.eos_token_id)
    return replace(loaded, tokenizer=wrapped, eos_token_id=eos, stop_token_ids=frozenset([eos]))


def _trained(texts: Sequence[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[_EOS], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
