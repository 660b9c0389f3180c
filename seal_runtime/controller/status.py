"""The snapshot that observers see. Cheap enough to be made twice a second: counts are kept as the run goes."""

from protocol.jobs import Role
from protocol.status import Alarm, RoleStatus, RunStatus
from seal_runtime.controller.agents_table import AgentsTable
from seal_runtime.controller.commands import Finish
from seal_runtime.controller.dispatch import Dispatcher
from seal_runtime.controller.plan import Plan
from seal_runtime.controller.study import Study
from seal_runtime.controller.workflow import Workflow

MIN_ETA_SECONDS = 5.0
"""No estimate of the time left before work has been coming in for so long."""
MIN_ETA_SHARE = 0.02
"""No estimate before this share of the run's work is done."""

SHOWN_REASON_CHARS = 200
"""So much of the reason why a job was set aside is shown at once; the report and the ledger have all."""

_WEIGHT: dict[Role, float] = {"proposer": 0.3, "trainer": 1.0, "evaluator": 0.5, "critic": 0.0}
"""How much a self-edit's proposal, inner loop and examination cost relative to one another, about."""


def study_weight(study: Study) -> float:
    """Return the work in one self-edit of a study, in inner loops."""
    proposal = _WEIGHT["proposer"] if study.source == "policy" else 0.0
    adaptation = 0.0 if study.source == "none" else _WEIGHT["trainer"]
    return proposal + (adaptation if study.sequence_length else study.replicates * adaptation) + study.replicates * _WEIGHT["evaluator"]


class Estimate:
    """Estimates the time left from the work done since this controller began."""

    def __init__(self, plan: Plan) -> None:
        self._total = sum(study.num_items * study_weight(study) for study in plan.studies)
        self._began_at: float | None = None
        self._done_at_start = 0.0

    def begin(self, workflow: Workflow, now: float) -> None:
        """Start the clock, once: at the first result, so that the loading of models does not count."""
        if self._began_at is None:
            self._began_at, self._done_at_start = now, self._done(workflow)

    def eta_seconds(self, workflow: Workflow, now: float) -> float | None:
        """Return the seconds left, None while there is nothing to go by."""
        if self._began_at is None or now - self._began_at < MIN_ETA_SECONDS:
            return None
        done = self._done(workflow)
        gained = done - self._done_at_start
        if gained <= MIN_ETA_SHARE * self._total:
            return None
        return (self._total - done) * (now - self._began_at) / gained

    def _done(self, workflow: Workflow) -> float:
        return sum(progress.num_settled * study_weight(progress.study) for progress in workflow.studies.values())


def phase_of(workflow: Workflow, agents: AgentsTable, finish: Finish | None, *, has_results: bool) -> str:
    """Return the one word for people."""
    if finish is not None:
        return "stopping" if finish.phase == "stopped" else finish.phase
    if not has_results and not any(entry.is_ready for entry in agents.all()):
        return "starting"
    number = workflow.lineage.latest.version + 1
    if number > workflow.plan.num_rounds:
        return "finishing"
    gates = [workflow.studies.get(study.name) for study in workflow.plan.of_round(number)]
    is_scored = all(progress is not None and progress.is_closed for progress in gates)
    runs_ahead = any(progress.study.round and not progress.is_closed for progress in workflow.studies.values())
    return "updating" if is_scored and not runs_ahead else "running"


def num_scored(workflow: Workflow) -> int:
    """Return the scored self-edits of all studies; an evaluation without self-edit counts like one."""
    return sum(progress.num_scored for progress in workflow.studies.values())


def policy_lag(workflow: Workflow) -> int:
    """Return by how many versions the oldest policy of a round under way is older than the newest policy; 0 where no round is."""
    latest = workflow.lineage.latest.version
    under_way = [progress.study.policy_version for progress in workflow.studies.values() if progress.study.round and not progress.is_closed]
    return max(0, latest - min(under_way)) if under_way else 0


def make_status(
    *,
    run_id: str,
    workflow: Workflow,
    agents: AgentsTable,
    dispatcher: Dispatcher,
    phase: str,
    problems: list[str],
    eta_seconds: float | None,
    recent_edits_per_hour: float | None,
    roles: tuple[RoleStatus, ...],
    alarms: tuple[Alarm, ...],
    started_at: float,
    elapsed_seconds: float,
    now: float,
) -> RunStatus:
    """Put the snapshot together; `frames_dropped` are those of agents, `wanted` is empty: the shell completes both."""
    plan = workflow.plan
    version = workflow.lineage.latest.version
    invalid = [
        f"{name}: {progress.num_invalid} self-edit(s) could not be measured (last: {progress.last_loss[:SHOWN_REASON_CHARS]})"
        for name, progress in workflow.studies.items()
        if progress.num_invalid
    ]
    scored = num_scored(workflow)
    return RunStatus(
        run_id=run_id,
        phase=phase,
        round=min(version + 1, plan.num_rounds),
        num_rounds=plan.num_rounds,
        policy_version=version,
        started_at=started_at,
        elapsed_seconds=elapsed_seconds,
        eta_seconds=0.0 if phase == "done" else eta_seconds,
        items_done=sum(progress.num_settled for progress in workflow.studies.values()),
        items_total=sum(study.num_items for study in plan.studies),
        policy_lag=policy_lag(workflow),
        edits_per_hour=3600.0 * scored / elapsed_seconds if scored and elapsed_seconds > 0 else None,
        recent_edits_per_hour=recent_edits_per_hour,
        jobs_waiting=dispatcher.num_waiting(),
        frames_dropped=sum(entry.frames_dropped for entry in agents.all()),
        agents=tuple(entry.status(now) for entry in agents.all()),
        wanted=(),
        studies=tuple(progress.status() for progress in workflow.studies.values()),
        problems=(*plan.notes, *workflow.truncation.notes(), *problems, *invalid),
        roles=roles,
        alarms=alarms,
    )
