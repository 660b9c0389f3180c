"""The form of `bus.metrics_bind`: HOST:PORT."""

import re

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\s/\[\]]+):(?P<port>\d{1,5})")
MAX_PORT = 65_535


def parse_metrics_address(text: str) -> tuple[str, int]:
    """Return host and port; port 0 picks a free one. Raises ValueError that says what was expected."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > MAX_PORT:
        raise ValueError(f"expected HOST:PORT such as 127.0.0.1:9464, got {text!r}")
    return match["host"].strip("[]"), int(match["port"])
