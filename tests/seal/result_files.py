"""Small result files of the reference's form, made by hand."""

from collections.abc import Sequence


def answer(rep: int, question: str, base: bool, adapted: bool) -> dict[str, object]:
    return {
        "rep": rep,
        "question": question,
        "answer": "gold",
        "baseline_answer": "gold" if base else "dross",
        "adapter_answer": "gold" if adapted else "dross",
        "baseline_correct": base,
        "adapter_correct": adapted,
    }


def completion(text: str, mean: float, std: float = 0.0, base: float = 0.25) -> dict[str, object]:
    stats = {"baseline_mean": base, "baseline_std": 0.0, "adapter_mean": mean, "adapter_std": std, "gain_mean": mean - base}
    return {"text": text, "stats": stats, "questions": []}


def article(title: str, completions: Sequence[dict[str, object]]) -> dict[str, object]:
    stats = {
        "baseline_accuracy": 0.25,
        "adapter_mean_accuracy": 0.5,
        "adapter_std_over_completions": 0.0,
        "mean_adapter_std_within_completions": None,
        "mean_gain": 0.25,
    }
    return {"stats": stats, "title": title, "context": f"About {title}.", "completions": list(completions), "prompt": f"{title} – prompt\n"}


def results(articles: Sequence[dict[str, object]], overall: dict[str, object] | None = None) -> dict[str, object]:
    names = ("baseline_mean_accuracy", "baseline_std_of_article_means", "adapter_mean_accuracy", "adapter_std_of_article_means")
    names += ("mean_adapter_std_over_completions", "mean_adapter_std_within_completions", "mean_gain")
    return {
        "overall": overall or dict.fromkeys(names, 0.0),
        "timestamp": "0508_015401",
        "model": "base",
        "dataset": "data/synthetic_data/train/iter0_train.json",
        "split_newlines": True,
        "n_articles": len(articles),
        "k_completions": 2,
        "eval_times": 2,
        "lora_params": {"rank": 32, "alpha": 64, "dropout": 0.0, "epochs": 10, "lr": 0.001, "batch_size": 1, "grad_accum_steps": 1},
        "articles": list(articles),
    }
