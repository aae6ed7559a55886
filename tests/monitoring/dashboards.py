"""The chart's dashboards as data: their panels, and what each asks of Prometheus once the variables have values."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "charts" / "chatbot-operator" / "files" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
VARIABLE = re.compile(r"\$(?:\{(\w+)[^}]*\}|(\w+))")


@dataclass(frozen=True)
class Query:
    """One query of a panel, as written."""

    dashboard: str
    panel: str
    expression: str

    def variables(self) -> set[str]:
        """Return the names of the variables in it."""
        return {braced or bare for braced, bare in VARIABLE.findall(self.expression)}

    def with_values(self, values: Mapping[str, str]) -> str:
        """Return the expression with every variable's value in its place; raises KeyError for one without."""
        return VARIABLE.sub(lambda found: values[found[1] or found[2]], self.expression)


def load(file: Path) -> dict[str, Any]:
    """Return a dashboard."""
    dashboard: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """Yield every query of every dashboard."""
    for file in FILES:
        for panel in panels(load(file)):
            for target in panel["targets"]:
                yield Query(file.stem, panel["title"], target["expr"])
