"""The same tree gives the same image, digest for digest: whatever the clock says, and whatever was built before.

The service's, which users run, in CI, and all three when SOAK is set. Debian's packages are the same for both builds, as they
are for two builds in a row on one machine: they are an input.
"""

import hashlib
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import images
from scripts.image.baseimage import find_base
from scripts.image.builders import Buildah, Builder, Docker, Recipe, find_builder
from tests.images.conftest import NAMES, ROOT, load
from tests.sizes import SOAK

pytestmark = pytest.mark.images

REBUILT_NAMES = NAMES if SOAK else ("general-purpose-chatbot",)
TOOLCHAIN = "localhost/test-toolchain:latest"
REBUILT = "test-rebuilt:latest"
SHARED = "FROM ${BASE_IMAGE} AS toolchain\n"


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    """What builds images here, alone; the images of this module do not outlive it."""
    found = find_builder()
    assert isinstance(found, Docker | Buildah)
    with images.exclusive():
        yield found
    subprocess.run([found.program, "rmi", "--force", REBUILT, TOOLCHAIN], check=True, capture_output=True)


def recipe(dockerfile: Path, text: str, *, base: str, tag: str, fresh: bool) -> Recipe:
    dockerfile.write_text(text)
    return Recipe(ROOT, dockerfile, base, (tag,), fresh, dockerfile.with_suffix(".log"))


def build_without_cache(builder: Builder, image: images.Image, folder: Path) -> None:
    """Build every stage anew but the first, the packages of Debian, which is the cached one."""
    first, rest = images.dockerfile_text(image).split("\nFROM toolchain AS runtime\n", 1)
    base = find_base(builder, say=print)
    builder.build(recipe(folder / "toolchain", first, base=base, tag=TOOLCHAIN, fresh=False), on_step=print)
    anew = first.split(SHARED)[0] + SHARED + "\nFROM toolchain AS runtime\n" + rest
    builder.build(recipe(folder / "rebuilt", anew, base=TOOLCHAIN, tag=REBUILT, fresh=True), on_step=print)


def read(archive: tarfile.TarFile, member: str) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def contents(archive: Path) -> dict[str, Any]:
    """Return an image's digest, which is its configuration's, and what tells where two differ: that, and each file of each layer."""
    found: dict[str, Any] = {}
    with tarfile.open(archive) as outer:
        manifest = load(outer, "manifest.json")[0]
        found["digest"] = hashlib.sha256(read(outer, manifest["Config"])).hexdigest()
        for number, layer in enumerate(manifest["Layers"]):
            with tarfile.open(fileobj=outer.extractfile(layer)) as files:
                for member in files:
                    content = files.extractfile(member) if member.isfile() else None
                    digest = hashlib.sha256(content.read()).hexdigest() if content else member.linkname
                    found[f"{number} {member.name}"] = (digest, member.mode, member.uid, member.gid, member.mtime)
        found["configuration"] = load(outer, manifest["Config"])
    return found


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("name", REBUILT_NAMES)
def test_a_build_without_any_cache_gives_the_same_image(name: str, builder: Builder, tmp_path: Path) -> None:
    build_without_cache(builder, images.IMAGES[name], tmp_path)
    builder.export(tmp_path / "rebuilt.tar", [REBUILT])

    before, after = contents(images.IMAGES[name].archive), contents(tmp_path / "rebuilt.tar")

    assert len(before) > 1000
    assert sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)) == []
