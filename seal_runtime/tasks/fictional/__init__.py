"""The built-in world of made-up people, towns and companies, and the knowledge-incorporation task in it."""

from seal_runtime.tasks.fictional.task import FictionalWorldTask, split_fingerprints

__all__ = ["FictionalWorldTask", "split_fingerprints"]
