"""The chart's alerts as data."""

from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).resolve().parents[2] / "charts" / "chatbot-operator" / "files" / "rules.yaml"


def rules() -> list[dict[str, Any]]:
    """Return every rule, recording rules included."""
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


ALERTS = frozenset(rule["alert"] for rule in rules() if "alert" in rule)
