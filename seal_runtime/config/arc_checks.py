"""Check the section of task `arc`: its files are there, and the held-out split has puzzles."""

import os
from pathlib import Path

from seal_runtime.config.arc import ArcConfig
from seal_runtime.config.findings import Findings
from seal_runtime.config.topology import Topology

_FILES = ("training_challenges", "training_solutions", "evaluation_challenges", "evaluation_solutions")


def check_arc(topology: Topology, findings: Findings) -> None:
    """Add what is wrong with `task.arc`, also that it is given for another task."""
    arc = topology.task.arc
    if topology.task.name != "arc":
        if arc != ArcConfig():
            findings.error("task.arc", f"expected nothing, because only task arc reads it and the task is {topology.task.name}; remove it")
        return
    if arc.training_challenges is None:
        findings.error("task.arc.training_challenges", "expected a JSON file of ARC tasks for task arc, got nothing")
    for name in _FILES:
        file: str | None = getattr(arc, name)
        if file is not None:
            _check_file(f"task.arc.{name}", Path(file).expanduser(), findings)
    evaluation = topology.evaluation
    if evaluation.num_contexts and evaluation.split == "test" and arc.evaluation_challenges is None:
        findings.error("task.arc.evaluation_challenges", "expected a JSON file of ARC tasks for evaluation.split test, got nothing")
    if evaluation.num_contexts and evaluation.split == "validation" and not arc.num_validation:
        findings.error("task.arc.num_validation", "expected at least 1 for evaluation.split validation, got 0")


def _check_file(key: str, path: Path, findings: Findings) -> None:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        findings.error(key, f"expected a file at {path}, found {found}; relative paths start at the working directory {Path.cwd()}")
    elif not os.access(path, os.R_OK):
        findings.error(key, f"expected a readable file at {path}, got one without read permission")
