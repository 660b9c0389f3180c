"""The SFT set of a round: the best self-edits of each article, as the reference's build step chooses and writes them.

Ranked by the adapted accuracy itself (not the gain, and a positive one is not asked for), highest first; equal ones keep their order,
so ties go to the lowest index. An empty text among the best is dropped and not replaced. Articles keep their order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from seal_runtime.seal.results import Article, Results


@dataclass(frozen=True, slots=True, kw_only=True)
class SftRow:
    """One example for supervised fine-tuning: the prompt as the policy saw it, and the self-edit."""

    prompt: str
    completion: str


def select_best(results: Results, k: int) -> tuple[SftRow, ...]:
    """Return the best `k` self-edits of each article, best first."""
    return tuple(
        SftRow(prompt=article.prompt, completion=article.completions[index].text.strip())
        for article in results.articles
        for index in best_indices(article, k)
        if article.completions[index].text.strip()
    )


def best_indices(article: Article, k: int) -> list[int]:
    """Return the places of the best `k` self-edits of an article, best first."""
    places = range(len(article.completions))
    return sorted(places, key=lambda index: article.completions[index].stats.adapter_mean, reverse=True)[:k]


def sft_text(rows: Sequence[SftRow]) -> str:
    """Return the rows as JSON lines."""
    return "".join(json.dumps({"prompt": row.prompt, "completion": row.completion}, ensure_ascii=False) + "\n" for row in rows)


def sft_file_name(results: Results, k: int) -> str:
    """Return the name that the reference's build step gives the file."""
    completions = len(results.articles[0].completions) if results.articles else 0
    return f"sft_best{k}of{completions}_{results.timestamp or 'undated'}.jsonl"
