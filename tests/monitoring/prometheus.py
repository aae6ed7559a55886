"""A real Prometheus for a test, on a free port of 127.0.0.1, and the parts of its HTTP API that the tests ask."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from devcluster.binaries import BINARIES
from devcluster.processes import wait_until

START_SECONDS = 30.0
LISTENING = re.compile(r'msg="Listening on".* address=(\S+:[0-9]+)')
SELECTORS = {"vectorSelector", "matrixSelector"}
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def missing(*names: str) -> str:
    """Return what to do when one of these programs is not in the cache, nothing when all are: no test builds them by the way."""
    lacking = [name for name in names if not BINARIES[name].is_current]
    return f"{' and '.join(lacking)} not built: run `python -m devcluster build {' '.join(lacking)}`" if lacking else ""


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the instant vector (or one scalar) that `expression` comes to now."""
        data = self._get("query", query=expression)
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else data["result"]

    def selectors(self, expression: str) -> set[str]:
        """Return every selector of series in `expression`, as Prometheus itself parses it."""
        return {_selector(node) for node in _nodes(self._get("parse_query", query=expression)) if node.get("type") in SELECTORS}

    def targets(self) -> list[dict[str, Any]]:
        """Return the targets that are scraped, with their labels and health."""
        targets: list[dict[str, Any]] = self._get("targets", state="active")["activeTargets"]
        return targets

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health, alerts with their state."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def alerts(self, name: str, **labels: str) -> list[str]:
        """Return the states, pending or firing, of the alerts with this name and at least these labels."""
        wanted = {"alertname": name, **labels}.items()
        return [alert["state"] for alert in self._get("alerts")["alerts"] if wanted <= alert["labels"].items()]

    def _get(self, path: str, **parameters: str) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with _direct.open(address, timeout=10) as response:
            return json.load(response)["data"]


@contextmanager
def start_prometheus(folder: Path, configuration: Mapping[str, Any]) -> Iterator[Prometheus]:
    """Run Prometheus with its data in `folder` until the block ends."""
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(dict(configuration)))
    argv = [
        str(BINARIES["prometheus"].path),
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        "--web.listen-address=127.0.0.1:0",
    ]
    log = folder / "log"
    with log.open("wb") as messages, subprocess.Popen(argv, stdout=messages, stderr=messages, cwd=folder) as process:
        try:
            yield Prometheus(f"http://{_listening(process, log)}")
        finally:
            process.terminate()


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return its address, once it is ready."""

    def is_ready() -> bool:
        assert process.poll() is None, f"Prometheus ended: {log.read_text()[-2000:]}"
        return "Server is ready" in log.read_text()

    wait_until(is_ready, what=f"Prometheus to be ready, see {log}", timeout_seconds=START_SECONDS)
    found = LISTENING.search(log.read_text())
    assert found is not None
    return found[1]


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object within a JSON value."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(part)


def _selector(node: Mapping[str, Any]) -> str:
    matchers = sorted(f"{each['name']}{each['type']}{json.dumps(each['value'])}" for each in node["matchers"])
    return "{" + ", ".join(matchers) + "}"
