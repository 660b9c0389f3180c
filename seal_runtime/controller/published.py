"""Serves the run's status over HTTP when the topology asks for it; a server that cannot be had is told once and costs nothing else."""

from collections.abc import Callable

import structlog

from protocol.status import RunStatus
from seal_runtime.config.metrics_address import parse_metrics_address
from seal_runtime.metrics.server import StatusServer

log = structlog.get_logger()

PUBLISH_SECONDS = 1.0


class Published:
    """Gives the server a status now and then. `bind` is `bus.metrics_bind`, "" for no server."""

    def __init__(self, bind: str, status: Callable[[], RunStatus]) -> None:
        self.server: StatusServer | None = None
        self._status = status
        self._due = 0.0
        if bind:
            self._open(bind)

    def tick(self, now: float) -> None:
        """Publish when it is time to."""
        if self.server is not None and now >= self._due:
            self._due = now + PUBLISH_SECONDS
            self.server.publish(self._status())

    def close(self) -> None:
        """End the server. Idempotent."""
        if self.server is not None:
            self.server.close()
            self.server = None

    def _open(self, bind: str) -> None:
        try:
            self.server = StatusServer(*parse_metrics_address(bind))
        except ImportError:
            log.warning("metrics_not_served", reason="prometheus-client is not installed; pip install 'seal-runtime[prometheus]'")
        except OSError as error:
            log.warning("metrics_not_served", reason=f"cannot listen at {bind} (bus.metrics_bind): {error.strerror}")
        else:
            log.info("metrics_served", url=self.server.url)
