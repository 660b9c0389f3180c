"""Predicts a run before it is started: memory, service times, and the run itself in virtual time."""
