"""`bill_of_materials.py NAME VERSION ARCHIVE`: prints what is in an image's docker-archive as CycloneDX JSON.

That is every Debian package by the record that it left, and every Python distribution by its metadata. Runs in the scanners' environment,
where the CycloneDX library is: scripts/sbom.py starts it.
"""

import json
import sys
import tarfile
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

DEBIAN = "var/lib/dpkg/status.d/"
PYTHON = ".dist-info/METADATA"
RELEASE = "debian-13"  # what Debian's version stands for in the addresses of its packages


def records(archive: Path) -> Iterator[tuple[str, Message]]:
    """Yield the path and the content of every package's record in an image."""
    with tarfile.open(archive) as outer:
        for layer in json.loads(read(outer, "manifest.json"))[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                for member in inner:
                    if member.isfile() and (member.name.startswith(DEBIAN) or member.name.endswith(PYTHON)):
                        yield member.name, HeaderParser().parsestr(read(inner, member))


def read(archive: tarfile.TarFile, member: tarfile.TarInfo | str) -> str:
    """Return a file of an archive as text."""
    file = archive.extractfile(member)
    if file is None:
        raise ValueError(f"{member} is no file")
    return file.read().decode()


def component(path: str, record: Message) -> Component:
    """Return what a record speaks of."""
    if path.startswith(DEBIAN):
        name, version = record["Package"], record["Version"]
        url = PackageURL("deb", "debian", name, version, {"arch": record["Architecture"], "distro": RELEASE})
    else:
        name, version = record["Name"], record["Version"]
        url = PackageURL("pypi", None, name, version)
    return Component(type=ComponentType.LIBRARY, name=name, version=version, purl=url, bom_ref=url.to_string())


def main() -> None:
    """Print the bill."""
    name, version, archive = sys.argv[1:]
    bill = Bom(components=[component(path, record) for path, record in records(Path(archive))])
    bill.metadata.component = Component(type=ComponentType.CONTAINER, name=name, version=version, bom_ref=name)
    print(JsonV1Dot6(bill).output_as_string(indent=1))


if __name__ == "__main__":
    main()
