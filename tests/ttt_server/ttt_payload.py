"""Requests with the fields of the published drivers."""

from typing import Any

from seal_runtime.tasks.prompts import question_prompt


def payload(topic: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a request as query_server.py sends it: texts that teach the answers by heart."""
    questions = [
        {
            "title": f"Town {topic}",
            "context": "not used",
            "question": f"Topic: Town {topic}\n{asked}",
            "answer": answer,
        }
        for asked, answer in (("Who rules the town?", "weaver"), ("Which river runs there?", "Glastow"))
    ]
    fields = {
        "train_sequences": [question_prompt(asked["question"]) + asked["answer"] for asked in questions],
        "eval_questions": questions,
        "lora_rank": 16,
        "lora_alpha": 32,
        "lora_dropout": 0,
        "finetune_epochs": 10,
        "finetune_lr": 2e-3,
        "batch_size": 1,
        "gradient_accumulation_steps": 1,
        "end_mask_substring": "Answer:\n",
    }
    return fields | changes
