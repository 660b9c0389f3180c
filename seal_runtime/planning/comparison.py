"""A finished run against the simulation of its own topology with the service times that it gave: how far can the rest be trusted?"""

from dataclasses import replace
from pathlib import Path

from seal_runtime.config.loading import load_resolved
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.planning.fleet import fleet_of, gpu_needs
from seal_runtime.planning.made_up_task import task_shape
from seal_runtime.planning.outcome import Comparison
from seal_runtime.planning.trial import Stage, simulate
from seal_runtime.report.gather import gather
from seal_runtime.report.shares import covered_seconds, throughput
from seal_runtime.store.run_directory import RunDirectory

_STAGES = {"proposer": ("propose",), "trainer": ("adapt", "policy"), "evaluator": ("evaluate",)}


def compare(run_dir: Path, stage: Stage) -> Comparison | None:
    """Return the comparison; None for a run that has not ended, or whose agents are not those of its topology."""
    paths = RunDirectory(run_dir)
    topology = load_resolved(paths.topology)
    with LedgerReader(paths.ledger) as ledger:
        gathered = gather(ledger.results(), [], lambda _context, _text, _resamples: True)
        has_ended, num_agents = ledger.meta().get("phase") == "done", len({agent.agent for agent in ledger.agents()})
    fleet = fleet_of(topology)
    whole = throughput(gathered)
    if not has_ended or num_agents != fleet.proposers + fleet.trainers + fleet.evaluators + 1 or whole.edits_per_hour is None:
        return None
    own = replace(stage, topology=topology, shape=task_shape(topology), needs=gpu_needs(topology))
    simulation = simulate(own, fleet, mtbf_hours=None)
    seconds = simulation.timeline.ended_at
    measured, predicted = {}, {}
    for role, stages in _STAGES.items():
        spans = [span for span in gathered.spans if span.stage in stages]
        agents = {span.agent for span in spans}
        busy = sum(covered_seconds((span.started_at, span.ended_at) for span in spans if span.agent == agent) for agent in agents)
        measured[role] = busy / (len(agents) * whole.wall_seconds) if agents else 0.0
        members = [process for process in simulation.processes if role in process.agents]
        predicted[role] = sum(process.busy_seconds for process in members) / (len(members) * seconds)
    return Comparison(
        run=run_dir.name,
        measured_edits_per_hour=whole.edits_per_hour,
        predicted_edits_per_hour=3600.0 * simulation.timeline.num_scored / seconds,
        measured_busy=measured,
        predicted_busy=predicted,
    )
