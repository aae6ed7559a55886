"""What vulnerability scanners find in the images. None runs here: their data comes over the network, and without it they find nothing.

A package that a scanner does not see is one that it never warns of, so what they go by must be complete: Debian's record of each
package, the metadata of each Python distribution, and the release that both belong to.
"""

import json
import re
from email.parser import HeaderParser
from urllib.parse import unquote

import pytest
from packaging.requirements import Requirement

from scripts import images, sbom
from tests.images.conftest import ROOT, Image

pytestmark = pytest.mark.images

IN_THE_IMAGE = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux", "platform_system": "Linux"}


def locked(image: Image) -> dict[str, str]:
    """Return the version of each distribution that the image's lock pins for this platform."""
    text = (ROOT / f"requirements/{images.IMAGES[image.name].folder}.txt").read_text().replace("\\\n", " ")
    pins = (Requirement(re.sub(r"\s+--hash=\S+", "", line)) for line in text.splitlines() if line and line[0] not in " #")
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in pins if pin.marker is None or pin.marker.evaluate(IN_THE_IMAGE)}


def test_grype_and_trivy_cannot_scan_without_vulnerability_data_but_see_every_locked_distribution(image: Image) -> None:
    records = (HeaderParser().parsestr(path.read_text()) for path in image.rootfs.rglob("*.dist-info/METADATA"))
    found = {re.sub(r"[-_.]+", "-", record["Name"]).lower(): record["Version"] for record in records}

    assert locked(image).items() <= found.items()
    assert len(found.keys() - locked(image).keys()) == 1  # our own


def test_grype_and_trivy_cannot_scan_without_vulnerability_data_but_see_debians_packages_and_release(image: Image) -> None:
    records = [HeaderParser().parsestr(path.read_text()) for path in (image.rootfs / "var/lib/dpkg/status.d").iterdir()]
    release = (image.rootfs / "etc/os-release").read_text()

    assert {"libc6", "libssl3t64", "python3.13-minimal", "zlib1g"} <= {record["Package"] for record in records}
    assert all(record["Version"] and record["Architecture"] for record in records)
    assert re.search(r"^ID=debian$", release, re.MULTILINE)
    assert re.search(r'^VERSION_ID="?13"?$', release, re.MULTILINE)


@pytest.fixture(scope="module")
def bills(unpacked: dict[str, Image]) -> dict[str, set[str]]:
    """What `make sbom` lists for each image, as package URLs without what follows the version."""
    found = {}
    for name in sbom.write():
        components = json.loads(sbom.path_of(name).read_text())["components"]
        found[name] = {unquote(component["purl"].partition("?")[0]) for component in components if "purl" in component}
    return found


def test_bill_of_materials_lists_every_locked_distribution_and_debians_packages(image: Image, bills: dict[str, set[str]]) -> None:
    python = {f"pkg:pypi/{name}@{version}" for name, version in locked(image).items()}
    debian = {purl.split("@")[0] for purl in bills[image.name] if purl.startswith("pkg:deb/debian/")}

    assert sorted(python - bills[image.name]) == []
    assert {f"pkg:deb/debian/{path.name}" for path in (image.rootfs / "var/lib/dpkg/status.d").iterdir()} == debian
