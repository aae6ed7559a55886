"""grype: known vulnerabilities of what is in the images, Debian's packages too, by Anchore's data; those that a newer version mends.

It is the one of the PATH: the Go modules that it is made of cannot all be had from every module proxy.
"""

import json
import os
import shutil
import urllib.request
from typing import Any

from scripts.commands import environment, run
from scripts.images import IMAGES
from scripts.sbom import path_of
from scripts.scan.reports import Report

DATA = os.environ.get("GRYPE_DB_UPDATE_URL", "https://grype.anchore.io/databases")  # grype's own variable, for a mirror
LATEST = "v6/latest.json"
SECONDS = 15
# Without the check grype goes on with whatever data it has from earlier, however old.
SETTINGS = {"GRYPE_CHECK_FOR_APP_UPDATE": "false", "GRYPE_DB_REQUIRE_UPDATE_CHECK": "true", "GRYPE_DB_UPDATE_URL": DATA}


def scan() -> Report:
    """Look at the three images, by the bills of materials that scripts/sbom.py wrote."""
    subject, address = "the packages in the three images", f"{DATA}/{LATEST}"
    if not shutil.which("grype"):
        return Report(scanner="grype", subject=subject, not_run="there is no grype on PATH")
    if reason := unreachable(address):
        return Report(scanner="grype", subject=subject, not_run=f"the vulnerability data at {address} cannot be reached ({reason})")
    found = [finding for name in IMAGES for finding in findings(name, matches(name))]
    return Report(scanner="grype", subject=subject, findings=tuple(found))


def unreachable(address: str) -> str | None:
    """Return why nothing can be read from an address, None if something can."""
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:  # noqa: S310 - grype's own data
            answer.read(1)
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None


def matches(image: str) -> dict[str, Any]:
    """Return grype's JSON report on an image's bill of materials. Raises Failed."""
    command = ["grype", f"sbom:{path_of(image)}", "--only-fixed", "--output=json", "--quiet"]
    document: dict[str, Any] = json.loads(run(command, env=environment() | SETTINGS))
    return document


def findings(image: str, document: dict[str, Any]) -> list[str]:
    """Return a line for each match: what is wrong with which package, and the version that mends it."""
    return [
        f"{image}: {match['artifact']['name']} {match['artifact']['version']}: {match['vulnerability']['id']}"
        f" ({match['vulnerability']['severity']}, fixed in {', '.join(match['vulnerability']['fix']['versions'])})"
        for match in document["matches"]
    ]
