"""Build the tokenizer: the 256 bytes plus every word of the fictional world as one token, so that any text encodes and decodes.

A word is the same token at the start of a line and in the middle of one: normalisation puts a space before each line, decoding
takes it away again. Hence `encode(prompt) + encode(completion)` equals `encode(prompt + " " + completion)` for a prompt that ends
in mid-line, and `encode(prompt + completion)` for one that ends with a newline.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from seal_runtime.tasks.fictional import documents, lexicon
from seal_runtime.tasks.fictional.relations import FILLERS, INTRODUCTIONS, KINDS, SCHEMA, SUBJECTS

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
MAX_POSITIONS = 512


def build_tokenizer() -> Tokenizer:
    """Return the tokenizer of the built-in model; the same one every time."""
    # Reversible because a newline before anything but a newline always gains a space, and so does the text as a whole.
    normalizer = normalizers.Sequence([normalizers.Replace(Regex(r"\n(?=[^\n])"), "\n "), normalizers.Prepend(" ")])
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens = [END_OF_TEXT, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words = {word for text in _texts() for word, _ in byte_level.pre_tokenize_str(normalizer.normalize_str(text))}
    tokens += sorted(words.difference(tokens))
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=[], ignore_merges=True))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace("\n ", "\n"), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer in Hugging Face format, loadable by AutoTokenizer."""
    tokenizer.save(str(folder / "tokenizer.json"))
    # A class name that transformers 4 and 5 both know; what version 5 would write by itself, version 4 rejects.
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "model_max_length": MAX_POSITIONS,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _texts() -> Iterator[str]:
    """Yield texts that together hold every word of the world at least once."""
    for name, words in vars(lexicon).items():
        if name.isupper():
            yield from words
    slots = {"name": "", "title": "", "context": "", "question": "", "value": ""}
    yield from (prompt.format(**slots) for prompt in (documents.EDIT_PROMPT, documents.EXAM_PROMPT, documents.OPEN_BOOK_PROMPT))
    # A name or value in a template is never glued to a letter, so a stand-in word leaves its neighbours as they are.
    slots |= {"name": "Farah Zeller", "value": "piano"}
    yield "Question: Answer:"
    for kind in KINDS:
        for subject in SUBJECTS[kind]:
            subjects = {"subject": subject, "Subject": subject[0].upper() + subject[1:]}
            for relation in SCHEMA[kind]:
                templates = relation.narrations + relation.statements + relation.edit_questions + relation.exam_questions
                yield from (template.format(**slots, **subjects) for template in templates)
        yield from (template.format(**slots) for template in (INTRODUCTIONS[kind], *FILLERS[kind]))
