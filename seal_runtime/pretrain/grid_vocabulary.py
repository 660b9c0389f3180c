"""Build the tokenizer of the small grids: one token a cell, one for each fixed text and each value of a self-edit, and the 256 bytes.

A text is cut into the pieces that the task's own texts consist of; whatever lies between is spelled in bytes, so any text encodes and
decodes. A cell is a token together with what stands before it (`[[1`, ` 1`, a new row's `]\\n [1`), so an output of 2 x 2 cells takes
five tokens.
"""

import json
import re
from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from protocol.prompts import split_system
from seal_runtime.pretrain.vocabulary import END_OF_TEXT
from seal_runtime.tasks.arc.grids import NUM_COLOURS, Example, grid_text
from seal_runtime.tasks.arc.prompts import answer_text, edit_prompt, puzzle_prompt
from seal_runtime.tasks.arc.small import self_edits

_BEFORE_A_CELL = ("[[", "]\n [", " ", "\n")


def build_grid_tokenizer() -> Tokenizer:
    """Return the tokenizer of the grids' model; the same one every time."""
    pieces = list(dict.fromkeys(_pieces()))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokens = [END_OF_TEXT, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words = [byte_level.pre_tokenize_str(piece)[0][0] for piece in pieces]
    tokens += [word for word in words if word not in tokens]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=[], ignore_merges=True))
    # The longest piece first: the pattern takes the first alternative that fits.
    pattern = "|".join(re.escape(piece) for piece in sorted(pieces, key=len, reverse=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior="isolated"), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def _pieces() -> Iterator[str]:
    grid = ((0,),)
    example = Example(input=grid, output=grid)
    puzzle_instructions, _ = split_system(puzzle_prompt((), grid))
    edit_instructions, edit_request = split_system(edit_prompt(()))
    yield from (puzzle_instructions, edit_instructions, edit_request)
    yield from (f"{before}{colour}" for before in _BEFORE_A_CELL for colour in range(NUM_COLOURS))
    digit = str(grid[0][0])
    _, asked = split_system(puzzle_prompt((), grid))
    yield asked.split(digit)[1]
    yield answer_text(grid).split(digit)[1]
    yield grid_text(grid).split(digit)[1]
    yield "\n"
    shown = split_system(edit_prompt((example, example)))[1].removesuffix(edit_request).split(f"\n{digit}")
    yield from shown
    yield from _self_edit_pieces()


def _self_edit_pieces() -> Iterator[str]:
    """Yield what stands between the values of a self-edit, and the values."""
    values = (True, self_edits.STRATEGIES[0], self_edits.LEARNING_RATES[0], self_edits.EPOCHS[0])
    drawn = self_edits.configuration((values[0],) * len(self_edits.AUGMENTATIONS), *values[1:])
    between = re.split("|".join(re.escape(json.dumps(value)) for value in values), self_edits.text_of(drawn))
    yield from between
    yield between[-1].removesuffix("\n}")
    yield from ("true", "false", "True", "False")
    yield from map(json.dumps, (*self_edits.STRATEGIES, *self_edits.LEARNING_RATES, *self_edits.EPOCHS))
