"""Take up a run from what was committed: the records go through the same workflow, without agents and without sending anything.

Invariant: after the replay the workflow is where the old one was after its last commit; what was in flight is simply open again.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from seal_runtime.controller.commands import Command, Finish, ForgetAdapter, KeepPolicy
from seal_runtime.controller.effects import Effects
from seal_runtime.controller.work import Work
from seal_runtime.controller.workflow import Workflow
from seal_runtime.errors import LedgerError
from seal_runtime.ledger.records import ResultRow, SetAsideRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What is left to do after a replay, and the commands that its shell still has to carry out."""

    open_works: tuple[Work, ...]
    commands: tuple[Command, ...]
    finish: Finish | None
    num_results: int


def replay(workflow: Workflow, committed: Iterable[ResultRow | SetAsideRow], now: float) -> Replayed:
    """Start the workflow and enter the records. Without records this is a fresh start and every command is carried out.

    Raises LedgerError when a record belongs to another topology or task.
    """
    effects = workflow.start(now)
    commands = list(effects.commands)
    finish, num_results = effects.finish, 0
    open_works = {work.job_id: work for work in effects.works}
    for row in committed:
        if num_results == 0:
            commands = _still_needed(commands)
        num_results += 1
        following = _enter(workflow, row, open_works, now)
        open_works.update((work.job_id, work) for work in following.works)
        commands += _still_needed(following.commands)
        finish = finish or following.finish
    return Replayed(open_works=tuple(open_works.values()), commands=tuple(commands), finish=finish, num_results=num_results)


def _enter(workflow: Workflow, row: ResultRow | SetAsideRow, open_works: dict[str, Work], now: float) -> Effects:
    work = open_works.pop(row.job_id, None)
    if isinstance(row, SetAsideRow):
        return Effects() if work is None else workflow.set_aside(work, row.reason, now)
    if work is None or work.job != row.job:
        raise LedgerError(
            f"the ledger holds a result of {row.job_id} that this topology and task "
            f"{'never ask for' if work is None else 'ask differently'}; resume with the topology, task and data that the run began with"
        )
    return workflow.apply(work, row.result, now)


def _still_needed(commands: list[Command]) -> list[Command]:
    """Return what may not have happened before the crash: after the commit came deletions; policies are written again if lost."""
    return [command for command in commands if isinstance(command, ForgetAdapter | KeepPolicy)]
