"""Figures of a run: what metrics.jsonl holds, and how other programs read it."""
