"""trivy: known vulnerabilities of what is in the images, by Aqua Security's data; those that a newer version mends.

It is the one of the PATH, as grype is. Its data is an artifact in a registry, which it fetches itself.
"""

import json
import shutil
from typing import Any

from scripts.commands import Failed, run
from scripts.images import IMAGES
from scripts.sbom import path_of
from scripts.scan.reports import Report


def scan() -> Report:
    """Look at the three images, by the bills of materials that scripts/sbom.py wrote."""
    subject = "the packages in the three images"
    if not shutil.which("trivy"):
        return Report(scanner="trivy", subject=subject, not_run="there is no trivy on PATH")
    try:
        run(["trivy", "image", "--download-db-only", "--quiet"])
    except Failed as error:
        return Report(scanner="trivy", subject=subject, not_run=f"the vulnerability data cannot be fetched ({error})")
    found = [finding for name in IMAGES for finding in findings(name, matches(name))]
    return Report(scanner="trivy", subject=subject, findings=tuple(found))


def matches(image: str) -> dict[str, Any]:
    """Return trivy's JSON report on an image's bill of materials. Raises Failed."""
    command = ["trivy", "sbom", "--skip-db-update", "--ignore-unfixed", "--format=json", "--quiet", str(path_of(image))]
    document: dict[str, Any] = json.loads(run(command))
    return document


def findings(image: str, document: dict[str, Any]) -> list[str]:
    """Return a line for each match: what is wrong with which package, and the version that mends it."""
    return [
        f"{image}: {match['PkgName']} {match['InstalledVersion']}: {match['VulnerabilityID']}"
        f" ({match['Severity'].capitalize()}, fixed in {match['FixedVersion']})"
        for result in document.get("Results") or ()
        for match in result.get("Vulnerabilities") or ()
    ]
