"""Notice before anything is loaded that the hub cannot be reached: its libraries would try for half a minute for each file.

What is in the cache is then loaded without the network, and what is not is missed at once.
"""

import os
import socket
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies

import structlog

from seal_runtime.config.machine import hub_is_offline

HUB_URL = "https://huggingface.co"
CONNECT_SECONDS = 5.0

log = structlog.get_logger()


def forgo_unreachable_hub() -> None:
    """Set HF_HUB_OFFLINE for this process and its children when no connection to the hub can be made; a proxy is not looked behind.

    Call it before a library of the hub is imported: they read the variable then.
    """
    url = os.environ.get("HF_ENDPOINT") or HUB_URL
    if hub_is_offline() or _can_connect(url):
        return
    log.warning("hub_unreachable", url=url, advice="only what is in its cache can be loaded")
    os.environ["HF_HUB_OFFLINE"] = "1"


@lru_cache
def _can_connect(url: str) -> bool:
    parts = urlsplit(url)
    if {parts.scheme, "all"} & getproxies().keys():
        return True
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True
