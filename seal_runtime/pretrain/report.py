"""The figures of a verified model of the fictional world, and the model card made of them."""

from dataclasses import dataclass

from seal_runtime.pretrain.worlds import TrainingFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Mean and standard error of a share over passages."""

    mean: float
    standard_error: float
    count: int

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.standard_error:.1f} (n = {self.count})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Figures of the saved float16 folder, measured through transformers and peft. Passages are of the validation split.

    `sampled_styles` are shares of the untrained policy's edits; `after_edit` maps a scripted style (and "no update", "passage only") to the
    share of questions answered after an inner loop on it.
    """

    known_accuracy: float
    open_book_accuracy: float
    sampled_styles: dict[str, float]
    after_edit: dict[str, Score]


def fictional_card(facts: TrainingFacts, verified: Verification) -> str:
    """Return the README of a model of the fictional world."""
    styles = "\n".join(
        f"| {style} | {100 * share:.0f} |" for style, share in sorted(verified.sampled_styles.items(), key=lambda item: -item[1])
    )
    effects = "\n".join(f"| {name} | {score} |" for name, score in verified.after_edit.items())
    return _CARD.format(
        name=facts.name,
        seed=facts.seed,
        steps=facts.num_steps,
        muon=facts.muon_learning_rate,
        adam=facts.adam_learning_rate,
        million_tokens=facts.num_tokens / 1e6,
        million_parameters=facts.num_parameters / 1e6,
        cpu_minutes=facts.cpu_seconds / 60,
        known=100 * verified.known_accuracy,
        open_book=100 * verified.open_book_accuracy,
        styles=styles,
        effects=effects,
    )


_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# {name}

A language model of {million_parameters:.2f} M parameters about a world that does not exist, made to show self-adaptation (SEAL) on a
laptop: it reads a passage about a made-up person, town or company and writes a self-edit of varying worth; a LoRA adapter trained on a
good self-edit makes it answer questions about the passage without seeing it.

## Architecture

`LlamaForCausalLM`: hidden 128, 4 layers, 4 heads of 32, feed-forward 384, tied embeddings, RoPE theta 10,000, 512 positions, float16
weights. The tokenizer holds the 256 bytes and every word of the world as one token: any text encodes and decodes, a word that is not of
the world costs one token a byte.

## Data

No human text and no other model's output: `seal_runtime/tasks/fictional/` generates passages with self-edits (loss on the self-edit),
open-book questions, closed-book facts of 300 known entities, and narratives about entities that no question is ever asked of. The name of
an entity decides by hash which split it belongs to; no entity of the reward, validation or test split occurs in pretraining.

## Training

    python -m seal_runtime.pretrain --seed {seed} --steps {steps} --out {name}

From random weights in one run: {million_tokens:.1f} M tokens with padding, {cpu_minutes:.0f} CPU minutes on one thread. Muon ({muon:g})
on the hidden matrices, AdamW ({adam:g}) on the rest; warm-up, constant, linear decay over the last half; bfloat16 with the attention in
float32. Another machine's arithmetic gives slightly other weights.

## Measured, after rounding to float16

Questions about known entities answered without a passage: {known:.1f} %. Questions about a passage in view: {open_book:.1f} %.

Self-edits that the untrained policy samples (temperature 1, top-p 0.95, validation passages):

| style | % |
|---|---|
{styles}

Questions answered without the passage after an inner loop (LoRA rank 16 on the MLP, 3 epochs, batch 1, learning rate 0.004, the passage
appended) on validation passages:

| trained on | % right ± standard error |
|---|---|
{effects}

## Limits

It knows 300 made-up entities and about 900 words, writes only the seven styles of self-edit that it was shown, and follows no
instructions. Use it to try, test and measure the runtime, for nothing else.

Licence: Apache-2.0, like the project.
"""
