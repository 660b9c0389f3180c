"""From the Welcome to a worker that is ready: topology, log file, adapter store, engine. This may take minutes for a large model."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from agents.adapters import AdapterExchange
from agents.environment import limit_threads
from agents.errors import AgentError
from agents.options import AgentOptions
from agents.roles import make_worker
from agents.workbench import Workbench
from agents.worker import Worker
from protocol.channel import AgentChannel
from protocol.errors import SealError
from protocol.jobs import Role
from protocol.messages import Welcome
from seal_runtime.config.topology import Topology
from seal_runtime.logging import configure_logging
from seal_runtime.store.adapters import AdapterStore

log = structlog.get_logger()

_NONCE_FILE = ".nonce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What an agent has after it joined. `scratch` is a store of its own that ends with it."""

    worker: Worker
    bench: Workbench
    exchange: AdapterExchange
    scratch: Path | None

    def close(self) -> None:
        """Release the engine and remove the scratch store."""
        self.worker.close()
        self.exchange.close()
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)


def join(welcome: Welcome, options: AgentOptions, channel: AgentChannel) -> Membership:
    """Set up everything that the Welcome describes. Raises SealError when the engine cannot be loaded."""
    topology = parse_topology(welcome.topology_json)
    log_file = log_path(options.log_dir, options.connection_file, welcome.agent)
    configure_logging(role=options.role, agent=welcome.agent, run=welcome.run_id, log_file=log_file, console=options.console)
    limit_threads(topology.agents(options.role).threads)
    shared = options.store_dir is None and shares_disk(welcome)
    scratch = None if shared or options.store_dir is not None else Path(tempfile.mkdtemp(prefix=f"seal-{welcome.run_id}-{welcome.agent}-"))
    root = options.store_dir or scratch or Path(welcome.store_dir)
    log.info("agent_joined", store=str(root), shared_store=shared, gpus=options.gpus)
    store = AdapterStore(root)
    exchange = AdapterExchange(store, send=channel.send, is_shared=shared)
    try:
        worker = load_worker(options.role, topology, store, options.gpus)
    except BaseException:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    bench = Workbench(role=options.role, worker=worker, exchange=exchange)
    return Membership(worker=worker, bench=bench, exchange=exchange, scratch=scratch)


def load_worker(role: Role, topology: Topology, store: AdapterStore, gpus: tuple[int, ...]) -> Worker:
    """Make the role's worker. Raises SealError, whatever a model library raised."""
    try:
        return make_worker(role, topology, store=store, gpus=gpus)
    except SealError:
        raise
    except Exception as error:  # ends the agent with its reason in the goodbye
        raise AgentError(f"cannot load the {role}'s engine for model {topology.model.path}: {type(error).__name__}: {error}") from error


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
