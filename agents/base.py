"""The life of an agent's process: connect, register, load the engine, serve jobs, say goodbye. The same for all roles.

One thread does all this and steps the engine; the channels' own threads keep the heartbeats going meanwhile. A process may serve two
roles on one engine; each is an agent of its own to the controller. Every wait has a deadline: for the connection file, the Welcome, a
silent controller. SIGTERM unwinds whatever the main thread is at and ends in a Goodbye.
"""

import threading
import time
from contextlib import AbstractContextManager

import structlog

import seal_runtime
from agents.errors import AgentError
from agents.joining import join
from agents.options import AgentOptions
from agents.service import Service
from agents.signals import Stopped, stop_signals
from protocol.channel import AgentChannel
from protocol.errors import ChannelError
from protocol.jobs import Role
from protocol.messages import Reject, Shutdown, Welcome
from protocol.security import ConnectionInfo, read_connection_file
from seal_runtime.errors import EngineDiedError
from seal_runtime.logging import configure_logging

log = structlog.get_logger()

_WELCOME_WAIT_SECONDS = 0.5
_GOODBYE_SECONDS = 1.0
_FILE_POLL_SECONDS = 0.1


class Agent:
    """One agent process. `run` returns when it has said goodbye and raises SealError when it cannot go on.

    `was_dismissed`: the controller said that the run is over.
    """

    def __init__(self, options: AgentOptions) -> None:
        self.was_dismissed = False
        self._options = options
        self._arrival = threading.Event()
        self._channels: list[AgentChannel] = []

    def run(self) -> None:
        """Live from the connection to the goodbye."""
        options = self._options
        name = "+".join(filter(None, options.names)) or options.role_text
        configure_logging(role=options.role_text, agent=name, run="", log_file=None, console=options.console)
        with stop_signals(handle_interrupt=options.handle_interrupt):
            goodbye = "the agent failed"
            try:
                info = self._await_connection_file()
                for role, agent in zip(options.roles, options.names, strict=True):
                    self._channels.append(self._connect(info, role, agent))
                self._join_and_serve()
            except Stopped as stop:
                goodbye = str(stop)
            except EngineDiedError:
                # Without a goodbye the jobs at work count a death, so that one that kills engines is found out.
                log.error("engine_died", exc_info=True)
                self._channels.clear()
                raise
            except Exception as error:
                goodbye = f"{type(error).__name__}: {error}"[:1000]
                log.error("agent_failed", reason=goodbye, exc_info=True)
                raise
            finally:
                for channel in list(self._channels):
                    self._say_goodbye(channel, goodbye)

    def _await_connection_file(self) -> ConnectionInfo:
        deadline = time.monotonic() + self._options.controller_timeout_seconds
        while True:
            try:
                return read_connection_file(self._options.connection_file)
            except ChannelError as error:
                if time.monotonic() > deadline or not isinstance(error.__cause__, FileNotFoundError):
                    raise
            time.sleep(_FILE_POLL_SECONDS)

    def _connect(self, info: ConnectionInfo, role: Role, agent: str) -> AgentChannel:
        return AgentChannel.connect(
            info,
            role=role,
            agent=agent,
            capacity=0,
            gpus=self._options.gpus,
            package_version=seal_runtime.__version__,
            refresh=self._read_again,
            arrival=self._arrival,
        )

    def _read_again(self) -> ConnectionInfo | None:
        try:
            return read_connection_file(self._options.connection_file)
        except ChannelError:
            return None

    def _join_and_serve(self) -> None:
        channels = tuple(self._channels)
        welcomes = [self._await_welcome(role, channel) for role, channel in zip(self._options.roles, channels, strict=True)]
        membership = join(welcomes, self._options, channels)
        try:
            for service in membership.services:
                with _logged_as(service):
                    service.begin()
            self._serve(list(membership.services))
        finally:
            membership.close()

    def _await_welcome(self, role: Role, channel: AgentChannel) -> Welcome:
        while True:
            match channel.receive(_WELCOME_WAIT_SECONDS):
                case Welcome() as welcome:
                    return welcome
                case Reject(reason=reason) | Shutdown(reason=reason):
                    raise AgentError(f"the controller refused this {role}: {reason}")
                case _:
                    self._check_controller(channel)

    def _serve(self, services: list[Service]) -> None:
        """Take messages, step, answer, for every role in turn, until all of them were told to leave."""
        while services:
            self._take_messages(services)
            for service in list(services):
                with _logged_as(service):
                    service.advance()
                    if service.goodbye:
                        services.remove(service)
                        self.was_dismissed = self.was_dismissed or service.is_dismissed
                        service.close()
                        self._say_goodbye(service.channel, service.goodbye)
                    else:
                        self._check_controller(service.channel)

    def _take_messages(self, services: list[Service]) -> None:
        self._arrival.clear()
        if _take_all(services):
            return
        wait_seconds = min(service.wait_seconds for service in services)
        if wait_seconds and self._arrival.wait(wait_seconds):
            _take_all(services)

    def _say_goodbye(self, channel: AgentChannel, reason: str) -> None:
        self._channels.remove(channel)
        all_acknowledged = channel.close(reason, _GOODBYE_SECONDS)
        log.info("goodbye_said", reason=reason, all_acknowledged=all_acknowledged)

    def _check_controller(self, channel: AgentChannel) -> None:
        silence, limit = channel.silence_seconds, self._options.controller_timeout_seconds
        if silence > limit:
            raise AgentError(
                f"no word from the controller for {silence:.0f} s (limit {limit:g} s; {channel.problem or 'connected'}): "
                f"is the run of {self._options.connection_file} still alive? `seal-runtime resume` continues it"
            )


def _take_all(services: list[Service]) -> bool:
    """Let every role take its messages; say whether there were any."""
    took_any = False
    for service in services:
        with _logged_as(service):
            took_any = service.take_messages() or took_any
    return took_any


def _logged_as(service: Service) -> AbstractContextManager[None]:
    """Bind the role's own name to what is logged meanwhile."""
    return structlog.contextvars.bound_contextvars(role=service.role, agent=service.agent)
