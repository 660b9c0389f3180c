"""The model card of a model of the small grids. No torch."""

from seal_runtime.pretrain.grid_verification import GridVerification
from seal_runtime.pretrain.worlds import TrainingFacts


def grid_card(facts: TrainingFacts, verified: GridVerification) -> str:
    """Return the README of the model folder."""
    return _CARD.format(
        name=facts.name,
        seed=facts.seed,
        steps=facts.num_steps,
        muon=facts.muon_learning_rate,
        adam=facts.adam_learning_rate,
        million_tokens=facts.num_tokens / 1e6,
        million_parameters=facts.num_parameters / 1e6,
        cpu_minutes=facts.cpu_seconds / 60,
        simple=100 * verified.simple_accuracy,
        hard=100 * verified.hard_accuracy,
        valid=100 * verified.valid_edits,
        num_puzzles=verified.num_puzzles,
        num_edits=verified.num_edits,
    )


_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# {name}

A language model of {million_parameters:.2f} M parameters that sees small coloured grids, made to show the few-shot ARC experiment of SEAL
on a laptop: it reads a few demonstrations of a rule and applies the rule to one more grid, as far as it knows the rule; and it writes
self-edits, which are training configurations of varying worth.

## Architecture

`LlamaForCausalLM`: hidden 128, 4 layers, 4 heads of 32, feed-forward 384, tied embeddings, RoPE theta 10,000, 512 positions, float16
weights. The tokenizer holds the 256 bytes, one token for each cell with what stands before it, and one for each fixed text and value of the
task: any text encodes and decodes.

## Data

No human text and no other model's output: `seal_runtime/tasks/arc/small/` generates puzzles on grids of 2 x 2 with simple rules (mirror,
turn, transpose, shift, swap two cells, paint some), and requests for a self-edit answered by configurations drawn at random, one in ten
of them no JSON. The hard rules of the shipped puzzles (compositions of two of these that act like none of them) never occur in
pretraining.

## Training

    python -m seal_runtime.pretrain --world grids --seed {seed} --steps {steps} --out {name}

From random weights in one run: {million_tokens:.1f} M tokens with padding, {cpu_minutes:.0f} CPU minutes on one thread. Muon ({muon:g})
on the hidden matrices, AdamW ({adam:g}) on the rest; warm-up, constant, linear decay over the last half; bfloat16 with the attention in
float32. Another machine's arithmetic gives slightly other weights.

## Measured, after rounding to float16

| in context, four demonstrations, greedy (n = {num_puzzles}) | % right |
|---|---|
| simple rules | {simple:.1f} |
| hard rules | {hard:.1f} |

Sampled self-edits that are JSON (temperature 1, top-p 0.95, n = {num_edits}): {valid:.0f} %.

What training on the demonstrations does, and what the policy learns from it: `docs/experiments.md`, few-shot ARC.

## Limits

It knows grids of two rows and two columns and the rules above, and follows no instructions. Use it to try, test and measure the runtime,
for nothing else.

Licence: Apache-2.0, like the project.
"""
