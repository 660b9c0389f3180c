"""`seal-runtime attach` and `drain`: bring an agent into a run that goes on, and let one leave."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from protocol.jobs import ROLES, Role
from seal_runtime.cli.runs import RunArgument, find_run, short_path
from seal_runtime.errors import ConfigError, LaunchError
from seal_runtime.own_modules import import_environment, module_command

REQUEST_TIMEOUT_SECONDS = 5.0
SHARED = "proposer+evaluator"
"""As `config.engine_sharing.SHARING_ROLES`, which would load pydantic."""


def attach(
    role: Annotated[str, typer.Argument(help=f"What the agent does: {', '.join(ROLES)}, or {SHARED}.", show_default=False)],
    run: Annotated[str | None, typer.Option(help="A run directory or the name of a run under runs/; the newest run when left out.")] = None,
    connect: Annotated[
        Path | None, typer.Option("--connect", "--connection", help="Connection file of the run, copied from another host if need be.")
    ] = None,
    gpu: Annotated[str | None, typer.Option(help="Devices that the agent sees, as in 0 or 0,1.")] = None,
    name: Annotated[str, typer.Option(help="Name of the agent (A+B for two roles); the controller chooses one when left out.")] = "",
    store: Annotated[Path | None, typer.Option(help="Folder for this agent's adapters alone, instead of the run's own.")] = None,
    controller_timeout: Annotated[
        float | None, typer.Option(help="Leave when no controller was heard for so long, in seconds; 60 when left out.", min=1.0)
    ] = None,
) -> None:
    """Start an agent in the foreground; it joins the run, takes work, and leaves with Ctrl-C."""
    command = attach_command(roles_named(role), run=run, connect=connect, gpu=gpu, name=name)
    command += ["--store", str(store)] if store is not None else []
    command += ["--controller-timeout", f"{controller_timeout:g}"] if controller_timeout is not None else []
    sys.stdout.flush()
    os.execve(command[0], command, os.environ | import_environment())


def attach_command(roles: tuple[Role, ...], *, run: str | None, connect: Path | None, gpu: str | None, name: str) -> list[str]:
    """Return the agent's command line. Raises LaunchError when the run is not going on, ConfigError for impossible options."""
    if run is not None and connect is not None:
        raise ConfigError("expected --run or --connect, got both")
    if connect is not None:
        connection, log_dir = connect, None
    else:
        directory = find_run(run)
        connection, log_dir = directory.connection, directory.logs
    if not connection.is_file():
        raise LaunchError(f"no run answers at {connection}: it has ended or not begun; `seal-runtime resume` continues a run")
    command = [*module_command("agents"), "+".join(roles), "--connection", str(connection), "--console"]
    command += ["--name", name] if name else []
    command += ["--gpu", gpu] if gpu is not None else []
    return command + (["--log-dir", str(log_dir)] if log_dir is not None else [])


def roles_named(text: str) -> tuple[Role, ...]:
    """Return the roles of one process. Raises ConfigError that names what there is."""
    if text == SHARED:
        return ("proposer", "evaluator")
    for role in ROLES:
        if text == role:
            return (role,)
    raise ConfigError(f"expected one of the roles {', '.join(ROLES)}, or {SHARED}, got {text!r}")


def drain(
    agent: Annotated[str, typer.Argument(help="Name of the agent, as `seal-runtime status` shows it.", show_default=False)],
    run: Annotated[str | None, RunArgument] = None,
) -> None:
    """Let an agent finish the jobs that it holds and leave."""
    from protocol.messages import Done, DrainRequest, Reject
    from protocol.observer import ObserverClient
    from protocol.security import read_connection_file

    directory = find_run(run)
    if not directory.connection.is_file():
        raise LaunchError(f"{short_path(directory.root)} is not running; there is nobody to drain")
    client = ObserverClient(read_connection_file(directory.connection))
    try:
        reply = client.request(DrainRequest(agent=agent), REQUEST_TIMEOUT_SECONDS)
    finally:
        client.close()
    if isinstance(reply, Reject):
        raise LaunchError(reply.reason)
    if not isinstance(reply, Done):
        raise LaunchError(f"expected the controller to confirm, got {type(reply).__name__}")
    print(f"{agent} finishes its jobs and leaves")
