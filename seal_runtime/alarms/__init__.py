"""Rules that say when people should look at a run: pure functions over its figures."""
