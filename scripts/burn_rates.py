"""Writes what is alike for each objective into the chart's rules: the ratios over every window, and the burn-rate alerts.

Multi-window, multi-burn-rate on budgets of 30 days: Google, The Site Reliability Workbook, chapter 5. What is measured is written by hand.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RULES: Final = Path("charts/chatbot-operator/files/rules.yaml")


@dataclass(frozen=True)
class Objective:
    """What is promised: `bad` of the requests that are `measured` take no more than `budget`, a share."""

    alert: str
    bad: str
    measured: str
    budget: str
    promise: str
    said: str


@dataclass(frozen=True)
class Burn:
    """A pace at which the budget is spent, seen in both windows; `counted` is how many bad requests the long one has."""

    long: str
    short: str
    factor: str
    severity: str
    counted: str


OBJECTIVES: Final = (
    Objective("ChatbotErrorBudgetBurn", "requests_failed", "requests", "0.01", "errors < 1 %", "requests fail"),
    Objective(
        "ChatbotAvailabilityBudgetBurn",
        "requests_unserved",
        "requests",
        "0.001",
        "availability > 99.9 %",
        "requests are not served by the chatbot's own fault",
    ),
    Objective("ChatbotLatencyBudgetBurn", "requests_slow", "requests_answered", "0.05", "p95 < 3 s", "answers take more than 3 s"),
)
BURNS: Final = (
    Burn("1h", "5m", "14.4", "critical", "{bad}:increase1h"),
    Burn("6h", "30m", "6", "critical", "{bad}:increase6h"),
    Burn("1d", "2h", "3", "warning", "sum_over_time({bad}:increase1h[1d:1h])"),
    Burn("3d", "6h", "1", "warning", "sum_over_time({bad}:increase1h[3d:1h])"),
)
LONGER_WINDOWS: Final = ("30m", "1h", "2h", "6h", "1d", "3d")

_RATIO = """\
      - record: {bad}:ratio_rate{window}
        expr: {failed} / ({measured} > 0)
"""
_ALERT = """\
      - alert: {alert}
        expr: |
          {bad}:ratio_rate{long} > {factor} * {budget}
          and {bad}:ratio_rate{short} > {factor} * {budget}
          and {count} >= 10
        labels:
          severity: {severity}
          long_window: {long}
          short_window: {short}
        annotations:
          summary: Chatbot {{{{ $labels.namespace }}}}/{{{{ $labels.chatbot }}}} misses its objective "{promise}".
          description: >-
            {{{{ $value | humanizePercentage }}}} of the {said} over {long}, and as many over {short}: \
{factor} times what a month's budget allows.
          runbook_url: docs/runbooks/{alert}.md
"""


def render_rules(written: str) -> str:
    """Return the text of the rules with its generated parts anew; raises ValueError for one without the marks of a part."""
    ratios = "".join(_ratios(objective) for objective in OBJECTIVES)
    alerts = "".join(_alert(objective, burn) for objective in OBJECTIVES for burn in BURNS)
    return _with_part(_with_part(written, "ratios", ratios), "alerts", alerts)


def _ratios(objective: Objective) -> str:
    bad, measured = f"namespace_chatbot:{objective.bad}", f"namespace_chatbot:{objective.measured}"
    shortest = _RATIO.format(bad=bad, window="5m", failed=f"{bad}:rate5m", measured=f"{measured}:rate5m")
    return shortest + "".join(
        _RATIO.format(
            bad=bad, window=window, failed=f"avg_over_time({bad}:rate5m[{window}])", measured=f"avg_over_time({measured}:rate5m[{window}])"
        )
        for window in LONGER_WINDOWS
    )


def _alert(objective: Objective, burn: Burn) -> str:
    bad = f"namespace_chatbot:{objective.bad}"
    return _ALERT.format(**{**vars(objective), **vars(burn), "bad": bad, "count": burn.counted.format(bad=bad)})


def _with_part(text: str, name: str, content: str) -> str:
    """Return `text` with `content` between the two marks of the part."""
    first, last = f"      # Generated {name}: scripts/burn_rates.py\n", f"      # End of the generated {name}.\n"
    changed, count = re.subn(f"({first}).*?({last})", lambda found: found[1] + content + found[2], text, flags=re.DOTALL)
    if count != 1:
        message = f"{RULES}: the marks of the generated {name} are not there once"
        raise ValueError(message)
    return changed
