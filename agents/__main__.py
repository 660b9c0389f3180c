"""Start one agent: `python -m agents ROLE --connection FILE`. The same line works on any host that has the file.

Exit codes: 0 said goodbye (drained, shut down, or stopped by a signal); 1 the agent could not go on; 2 wrong arguments or configuration;
5 the main thread was hung and the process ended itself (`agents.stacks`); 6 the controller dismissed an agent of the launcher.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from agents import environment
from protocol.errors import SealError
from protocol.jobs import ROLES, Role
from seal_runtime.errors import ConfigError
from seal_runtime.parent_watch import follow_parent

EXIT_DISMISSED = 6
"""For the launcher: the run was over, said a controller. If it goes on nevertheless (that controller died), the agent is needed again."""
_DEFAULT_CONTROLLER_TIMEOUT_SECONDS = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, prepare the process, run the agent; return the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.die_with_parent:
        environment.die_with_parent()
    follow_parent()
    environment.pin_devices(arguments.gpu)
    # Imported only now: nothing that could load torch may come before the devices are pinned.
    from agents.base import Agent
    from agents.options import AgentOptions
    from agents.signals import Stopped

    try:
        environment.check_packages()
        options = AgentOptions(
            roles=arguments.roles,
            connection_file=arguments.connection,
            names=_names(arguments.name, arguments.roles),
            gpus=arguments.gpu,
            store_dir=arguments.store,
            log_dir=arguments.log_dir,
            console=arguments.console,
            controller_timeout_seconds=arguments.controller_timeout,
            handle_interrupt=not arguments.die_with_parent,
        )
        agent = Agent(options)
        agent.run()
    except ConfigError as error:
        return _complain(error, exit_code=2)
    except SealError as error:
        return _complain(error, exit_code=1)
    except Stopped:
        return 0  # the signal came before there was anything to say goodbye to, or during the goodbye
    return EXIT_DISMISSED if agent.was_dismissed and arguments.die_with_parent else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agents", description="Join a run as one of its agents.")
    parser.add_argument(
        "roles", type=_roles, metavar="ROLE", help=f"what this agent does: {', '.join(ROLES)}, or proposer+evaluator on one engine"
    )
    parser.add_argument("--connection", type=Path, required=True, metavar="FILE", help="the run's connection.json")
    parser.add_argument("--name", default="", help="name in logs and status (A+B for two roles); by default the controller chooses")
    parser.add_argument("--gpu", type=_gpus, default=(), metavar="N[,M]", help="devices to use, as nvidia-smi numbers them")
    parser.add_argument("--store", type=Path, metavar="DIR", help="an adapter store of this agent alone, instead of the run's")
    parser.add_argument(
        "--log-dir", type=Path, metavar="DIR", help="folder of the log file; `logs` beside the connection file if it exists"
    )
    parser.add_argument("--console", action="store_true", help="also log readable lines to stderr")
    parser.add_argument(
        "--controller-timeout",
        type=float,
        default=_DEFAULT_CONTROLLER_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="give up when no controller was heard for so long (default %(default)g)",
    )
    parser.add_argument("--die-with-parent", action="store_true", help="end when the parent process ends, and leave Ctrl-C to it")
    return parser


def _roles(text: str) -> tuple[Role, ...]:
    names = {str(role): role for role in ROLES}
    unknown = [part for part in text.split("+") if part not in names]
    if unknown:
        raise argparse.ArgumentTypeError(f"invalid choice: {unknown[0]!r} (expected {', '.join(ROLES)}, or proposer+evaluator)")
    roles = tuple(names[part] for part in text.split("+"))
    if len(roles) > 1 and roles != ("proposer", "evaluator"):
        raise argparse.ArgumentTypeError(f"only proposer+evaluator share a process, got {text!r}")
    return roles


def _names(text: str, roles: tuple[Role, ...]) -> tuple[str, ...]:
    """Return a name for each role. Raises ConfigError."""
    names = tuple(text.split("+")) if text else ("",) * len(roles)
    if len(names) != len(roles):
        raise ConfigError(f"expected --name with {len(roles)} names joined by +, one for each role, got {text!r}")
    return names


def _gpus(text: str) -> tuple[int, ...]:
    try:
        gpus = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected device numbers such as 0 or 0,1, got {text!r}") from error
    if not gpus or min(gpus) < 0 or len(set(gpus)) != len(gpus):
        raise argparse.ArgumentTypeError(f"expected different device numbers from 0 on, got {text!r}")
    return gpus


def _complain(error: SealError, *, exit_code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return exit_code


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    # All is released and said: dismantling torch and the interpreter would only keep the launcher waiting, for seconds on a busy host.
    os._exit(exit_code)
