"""Software bills of materials: what is in each built image, as CycloneDX JSON in `.build/sbom/NAME.cdx.json`."""

import sys
from pathlib import Path

from scripts.commands import ROOT, Failed, run
from scripts.images import IMAGES, version
from scripts.scan.environments import installed

OUTPUT = ROOT / ".build/sbom"


def path_of(name: str) -> Path:
    """Return where the bill of the image `name` goes."""
    return OUTPUT / f"{name}.cdx.json"


def write() -> list[str]:
    """Write the bill of every image, and return the images' names. Raises Failed."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, image in IMAGES.items():
        if not image.archive.exists():
            raise Failed(f"the image {name} is not built: make images")
        command: list[str | Path] = [installed("scan") / "python", "scripts/bill_of_materials.py", name, version(), image.archive]
        path_of(name).write_text(run(command))
    return list(IMAGES)


def main() -> int:
    """Write all of them and return the exit code."""
    try:
        names = write()
    except Failed as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    for name in names:
        print(path_of(name).relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
