"""`seal-runtime scale`: change how many agents of a role the launcher of a live run keeps, and wait until they are there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.jobs import ROLES, Role
from seal_runtime.cli.runs import find_run, short_path
from seal_runtime.errors import ConfigError, LaunchError
from seal_runtime.store.run_directory import RunDirectory

if TYPE_CHECKING:
    from launch.account import Account
    from launch.observe import RunObserver
    from protocol.status import AgentStatus, RunStatus

REQUEST_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.25
LAUNCHER_GRACE_SECONDS = 10.0
"""How long a controller may be away (it died and starts again) before the run counts as ended."""


@dataclass(slots=True, kw_only=True)
class _Goal:
    """One role's part of a request; `request` is its number, `before` how many processes the launcher kept when it was made."""

    role: Role
    count: int
    request: int = 0
    before: int = 0
    progress: str = "the launcher has not taken it up yet"
    ready: list[str] = field(default_factory=list)


def scale(
    counts: Annotated[
        list[str], typer.Argument(help="How many agents of a role, as in trainer=4.", metavar="ROLE=N...", show_default=False)
    ],
    run: Annotated[str | None, typer.Option(help="A run directory or the name of a run under runs/; the newest run when left out.")] = None,
    timeout: Annotated[float, typer.Option(help="How long to wait until it is so, in seconds.", min=0.0)] = 600.0,
) -> None:
    """Change how many agents of a role the live run's launch keeps: it starts more, or lets the newest finish their jobs and leave.

    Agents that were attached by hand come on top of N and are left alone. The numbers stay with the run, also when it is resumed.
    """
    goals = [_goal(text) for text in counts]
    if len({goal.role for goal in goals}) < len(goals):
        raise ConfigError(f"expected each role once, got {' '.join(counts)}")
    directory = find_run(run)
    _check(directory, goals)
    from launch.observe import RunObserver

    observer = RunObserver(directory.connection)
    try:
        _request(directory, observer, goals)
        _wait(directory, observer, goals, timeout)
    finally:
        observer.close()


def _goal(text: str) -> _Goal:
    name, _, number = text.partition("=")
    if not number.isdecimal():
        raise ConfigError(f"expected ROLE=N as in trainer=4, got {text!r}")
    for role in ROLES:
        if name == role:
            return _Goal(role=role, count=int(number))
    raise ConfigError(f"expected one of the roles {', '.join(ROLES)} before =, got {text!r}")


def _check(run: RunDirectory, goals: list[_Goal]) -> None:
    """Refuse what cannot work before anything is asked for. Raises LaunchError."""
    from launch.run_setup import is_claimed
    from seal_runtime.config.loading import load_resolved
    from seal_runtime.config.scaling import scale_problem

    where = short_path(run.root)
    if not run.connection.is_file():
        raise LaunchError(f"{where} is not running; `seal-runtime resume {where}` continues it")
    if not is_claimed(run):
        role = goals[0].role
        raise LaunchError(
            f"no launcher works in {where}, so nobody would start or stop agents; "
            f"`seal-runtime attach {role} --run {where}` adds one by hand, `seal-runtime drain NAME {where}` lets one leave"
        )
    topology = load_resolved(run.topology)
    for goal in goals:
        problem = scale_problem(topology, goal.role, goal.count)
        if problem is not None:
            raise LaunchError(problem)


def _request(run: RunDirectory, observer: RunObserver, goals: list[_Goal]) -> None:
    """Have the controller commit the counts. Raises LaunchError."""
    from launch.account import read_account
    from protocol.messages import Done, Reject, ScaleRequest
    from protocol.observer import ObserverClient
    from protocol.security import read_connection_file

    account = read_account(run.launched)
    with ObserverClient(read_connection_file(run.connection)) as client:
        for goal in goals:
            goal.before = len(account.kept(goal.role)) if account is not None else 0
            reply = client.request(ScaleRequest(role=goal.role, count=goal.count), REQUEST_TIMEOUT_SECONDS)
            if isinstance(reply, Reject):
                raise LaunchError(reply.reason)
            if not isinstance(reply, Done):
                raise LaunchError(f"expected the controller to confirm, got {type(reply).__name__}")
    status = observer.status(REQUEST_TIMEOUT_SECONDS)
    requests = {wanted.role: wanted.request for wanted in status.wanted} if status is not None else {}
    for goal in goals:
        goal.request = requests.get(goal.role, 1)


def _wait(run: RunDirectory, observer: RunObserver, goals: list[_Goal], timeout_seconds: float) -> None:
    """Wait until the launcher has done it and say so. Raises LaunchError when it takes too long, or the run or its launcher ends first."""
    from launch.account import read_account
    from launch.run_setup import is_claimed

    began = time.monotonic()
    open_goals = list(goals)
    while open_goals:
        status, account = observer.status(), read_account(run.launched)
        seconds = time.monotonic() - began
        for goal in list(open_goals):
            if status is not None and account is not None and _is_reached(goal, status, account):
                open_goals.remove(goal)
                print(_success(goal, status, account, seconds))
        if not open_goals:
            return
        left = "; ".join(f"{goal.role}: {goal.progress}" for goal in open_goals)
        has_vanished = status is None and not run.connection.is_file() and seconds > LAUNCHER_GRACE_SECONDS
        where = short_path(run.root)
        if has_vanished or not is_claimed(run):
            raise LaunchError(f"the launcher of {where} ended before it was done ({left}); `seal-runtime resume {where}` keeps the numbers")
        if seconds > timeout_seconds:
            raise LaunchError(f"not done after {timeout_seconds:g} s ({left}); the launcher goes on with it: `seal-runtime status {where}`")
        time.sleep(POLL_SECONDS)


def _is_reached(goal: _Goal, status: RunStatus, account: Account) -> bool:
    """Say whether the launcher's agents are as many as wanted, all ready, and those that leave are gone; note how far it is."""
    if account.requests.get(goal.role, 0) < goal.request:
        return False
    kept, leaving, missing = account.kept(goal.role), account.leaving(goal.role), account.missing.get(goal.role, 0)
    present = {agent.agent: agent for agent in status.agents if agent.role == goal.role and _is_ready(agent)}
    goal.ready = [name for process in kept for name in process.agents if name in present and present[name].pid == process.pid]
    steps = [f"{len(goal.ready)} of {goal.count} ready"]
    if missing:
        steps.append(f"{missing} more to start when a leaving agent frees its device")
    if leaving:
        steps.append(f"{', '.join(process.agents[0] for process in leaving)} still at work")
    lost = max(0, goal.count - len(kept) - missing)
    if lost:
        steps.append(f"{lost} died too often or left; see the launcher's log")
    goal.progress = ", ".join(steps)
    return len(goal.ready) == goal.count and not leaving and not missing


def _is_ready(agent: AgentStatus) -> bool:
    return agent.state in ("idle", "busy")


def _success(goal: _Goal, status: RunStatus, account: Account, seconds: float) -> str:
    launched = {name for process in account.processes for name in process.agents}
    others = [agent.agent for agent in status.agents if agent.role == goal.role and agent.agent not in launched]
    names = f" ({', '.join(goal.ready)})" if goal.ready else ""
    on_top = f"; attached by hand: {', '.join(others)}" if others else ""
    nobody = "" if goal.count or others else f"; jobs for a {goal.role} wait until there is one again"
    return f"{goal.role}: {goal.before} -> {goal.count} after {seconds:.0f} s{names}{on_top}{nobody}"
