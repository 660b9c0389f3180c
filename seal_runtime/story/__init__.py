"""The whole life of one self-edit, read from a run's ledger."""
