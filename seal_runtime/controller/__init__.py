"""The controller: plans a run, gives out its jobs, commits their results. A pure state machine in a thin shell; no torch."""
