"""`python -m scripts.scan`: every scanner in turn, a line each; fails if one found something or broke.

One that cannot be run because its data is out of reach says so and fails nothing: it is the reader who decides what that is worth.
"""

import sys
from collections.abc import Callable

from devcluster.errors import DevclusterError
from scripts.commands import Failed
from scripts.scan import bandit, checkov, gitleaks, grype, pip_audit, trivy
from scripts.scan.reports import Report

SCANNERS: dict[str, Callable[[], Report]] = {
    "gitleaks": gitleaks.scan,
    "bandit": bandit.scan,
    "checkov": checkov.scan,
    "pip-audit": pip_audit.scan,
    "grype": grype.scan,
    "trivy": trivy.scan,
}


def main() -> int:
    """Run all of them and return the exit code."""
    passed = [passes(name, scan) for name, scan in SCANNERS.items()]
    return int(not all(passed))


def passes(name: str, scan: Callable[[], Report]) -> bool:
    """Run one scanner, print what it came to, and say whether it found nothing."""
    try:
        report = scan()
    except (Failed, DevclusterError, OSError, ValueError) as error:
        print(f"{name}: failed: {error}", file=sys.stderr)
        return False
    print("\n".join(report.lines()), flush=True)
    return not report.findings


if __name__ == "__main__":
    sys.exit(main())
