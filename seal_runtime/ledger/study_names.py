"""How studies whose self-edits have a common life are named in a ledger."""

CPT_PREFIX = "cpt-"
"""Continued pretraining, its baselines among them: one adapter for all contexts."""
CONTINUAL_PREFIX = "continual-v"
"""Continual self-edits, followed by the policy version: the replicates of an edit are the rows of its sequence's matrix."""
