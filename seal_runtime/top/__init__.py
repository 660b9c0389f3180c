"""`seal-runtime top`: a run at a glance, in a terminal, read-only."""
