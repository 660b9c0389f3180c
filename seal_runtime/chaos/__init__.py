"""Disturb a real run on purpose, then prove from its ledger that nothing was lost, counted twice or changed."""
