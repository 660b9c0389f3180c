"""From the Welcome to roles that are ready: topology, log file, adapter store, engine. This may take minutes for a large model."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from agents.adapters import AdapterExchange
from agents.environment import limit_threads
from agents.errors import AgentError
from agents.far_logs import ship_logs, writes_in_run
from agents.options import AgentOptions
from agents.roles import make_workers
from agents.service import Service
from agents.stacks import SilenceWatch, StackWatch, watch_silence
from agents.workbench import Workbench
from agents.worker import Worker
from protocol.channel import AgentChannel
from protocol.errors import SealError
from protocol.jobs import Role
from protocol.messages import Welcome
from seal_runtime.config.engine_sharing import host_section
from seal_runtime.config.topology import Topology
from seal_runtime.logging import configure_logging
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.store.leftovers import make_scratch, sweep_scratch
from seal_runtime.store.log_file import Rotation

log = structlog.get_logger()

_NONCE_FILE = ".nonce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What a process has after it joined: its roles, ready to serve. `scratch` is a store of its own that ends with it."""

    services: tuple[Service, ...]
    silence: SilenceWatch | None
    scratch: Path | None

    def close(self) -> None:
        """Release the engines and remove the scratch store."""
        for service in self.services:
            service.close()
        if self.silence is not None:
            self.silence.close()
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)


def join(welcomes: Sequence[Welcome], options: AgentOptions, channels: Sequence[AgentChannel]) -> Membership:
    """Set up everything that the Welcomes, one for each role, describe. Raises SealError when the engine cannot be loaded."""
    first = welcomes[0]
    topology = parse_topology(first.topology_json)
    name = "+".join(welcome.agent for welcome in welcomes)
    log_file = log_path(options.log_dir, options.connection_file, name)
    also = None if writes_in_run(log_file, first) else ship_logs([welcome.agent for welcome in welcomes], channels)
    rotation = Rotation(max_bytes=topology.run.log_max_bytes, num_kept=topology.run.log_files_kept)
    configure_logging(
        role=options.role_text,
        agent=name,
        run=first.run_id,
        log_file=log_file,
        console=options.console,
        rotation=rotation,
        also=also,
    )
    limit_threads(host_section(topology, options.roles[0]).threads)
    silence = watch_silence(log_file, topology)
    for channel in channels:
        channel.watch(StackWatch(topology, silence))
    is_shared = options.store_dir is None and shares_disk(first)
    sweep_scratch()
    scratch = None if is_shared or options.store_dir is not None else make_scratch(f"{first.run_id}-{name}")
    # One store for all roles of the process: the same policy is then the same folders to an engine that they share.
    store = AdapterStore(options.store_dir or scratch or Path(first.store_dir))
    log.info("agent_joined", store=str(store.root), shared_store=is_shared, gpus=options.gpus)
    try:
        workers = load_workers(options.roles, topology, store, options.gpus)
    except BaseException:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    services = tuple(
        _service(role, welcome.agent, channel, worker, AdapterExchange(store, send=channel.send, is_shared=is_shared))
        for role, welcome, channel, worker in zip(options.roles, welcomes, channels, workers, strict=True)
    )
    return Membership(services=services, silence=silence, scratch=scratch)


def _service(role: Role, agent: str, channel: AgentChannel, worker: Worker, exchange: AdapterExchange) -> Service:
    bench = Workbench(role=role, worker=worker, exchange=exchange)
    return Service(role=role, agent=agent, channel=channel, worker=worker, bench=bench, exchange=exchange)


def load_workers(roles: tuple[Role, ...], topology: Topology, store: AdapterStore, gpus: tuple[int, ...]) -> tuple[Worker, ...]:
    """Make the roles' workers. Raises SealError, whatever a model library raised."""
    try:
        return make_workers(roles, topology, store=store, gpus=gpus)
    except SealError:
        raise
    except Exception as error:  # ends the agent with its reason in the goodbye
        who = "+".join(roles)
        raise AgentError(f"cannot load the {who}'s engine for model {topology.model.path}: {type(error).__name__}: {error}") from error


def parse_topology(text: str) -> Topology:
    """Return the topology of a Welcome. Raises AgentError when controller and agent are of different releases."""
    try:
        return Topology.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AgentError(
            f"the controller's topology is not one of this release ({where}: {first['msg']}); install the same version"
        ) from error


def shares_disk(welcome: Welcome) -> bool:
    """Say whether the controller's store is reachable by path: its nonce file reads as the Welcome says."""
    try:
        return (Path(welcome.store_dir) / _NONCE_FILE).read_text(encoding="utf-8").strip() == welcome.store_nonce
    except (OSError, UnicodeDecodeError):
        return False


def log_path(log_dir: Path | None, connection_file: Path, agent: str) -> Path | None:
    """Return the agent's log file: in the folder asked for, or in `logs` beside the connection file where that exists."""
    beside = connection_file.resolve().parent / "logs"
    folder = log_dir or (beside if beside.is_dir() else None)
    return None if folder is None else folder / f"{agent}.jsonl"
