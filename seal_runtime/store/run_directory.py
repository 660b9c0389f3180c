"""Where everything of a run lies. One class names the paths, so that no other file spells them.

runs/<name>/
  topology.resolved.yaml  connection.json keys.json (0600)  ledger.sqlite  metrics.jsonl  report.html  report.json
  logs/<agent>.jsonl      adapters/<sha256>/      policies/v<N>/  (a link-free copy of the version's own adapter, and version.json)
"""

from pathlib import Path


class RunDirectory:
    """The paths of one run. Creating the object touches nothing; `create` makes the folders."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @property
    def topology(self) -> Path:
        """Return the resolved topology's path."""
        return self.root / "topology.resolved.yaml"

    @property
    def connection(self) -> Path:
        """Return the connection file's path; it exists while a controller is alive."""
        return self.root / "connection.json"

    @property
    def keys(self) -> Path:
        """Return the key file's path: the run's keys and port, for all its controllers."""
        return self.root / "keys.json"

    @property
    def launched(self) -> Path:
        """Return the path of the launcher's own account of its processes; it exists while a launcher is alive."""
        return self.root / "launched.json"

    @property
    def ledger(self) -> Path:
        """Return the ledger's path."""
        return self.root / "ledger.sqlite"

    @property
    def metrics(self) -> Path:
        """Return the metrics file's path (one JSON line for each finished round or study)."""
        return self.root / "metrics.jsonl"

    @property
    def report_html(self) -> Path:
        """Return the report's path."""
        return self.root / "report.html"

    @property
    def report_json(self) -> Path:
        """Return the path of the report's figures as JSON, written with the report."""
        return self.root / "report.json"

    @property
    def logs(self) -> Path:
        """Return the folder of the agents' logs."""
        return self.root / "logs"

    @property
    def adapters(self) -> Path:
        """Return the adapter store's folder."""
        return self.root / "adapters"

    @property
    def policies(self) -> Path:
        """Return the folder of policy versions."""
        return self.root / "policies"

    def log(self, agent: str) -> Path:
        """Return the log file of one agent."""
        return self.logs / f"{agent}.jsonl"

    def policy(self, version: int) -> Path:
        """Return the folder of one policy version."""
        return self.policies / f"v{version}"

    def create(self) -> None:
        """Make the folders. Raises OSError."""
        for folder in (self.root, self.logs, self.adapters, self.policies):
            folder.mkdir(parents=True, exist_ok=True)
