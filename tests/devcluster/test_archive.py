"""Image archives: deterministic, and identified by their configuration."""

import json
import tarfile
from pathlib import Path

import pytest

from devcluster.archive import ArchiveInvalid, read_images, write_archive

REFERENCE = "devcluster.local/program:1"


def test_an_archive_tells_its_image_and_names(tmp_path: Path) -> None:
    archive = write(tmp_path, content=b"program")

    (image,) = read_images(archive)

    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("manifest.json") or pytest.fail("no manifest"))
    assert image.references == (REFERENCE,)
    assert image.identity == "sha256:" + manifest[0]["Config"].removesuffix(".json")


def test_the_same_program_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a", content=b"program").read_bytes() == write(tmp_path / "b", content=b"program").read_bytes()


def test_another_program_is_another_image(tmp_path: Path) -> None:
    assert read_images(write(tmp_path / "a", content=b"one")) != read_images(write(tmp_path / "b", content=b"two"))


@pytest.mark.parametrize("content", [b"", b"no archive at all"])
def test_what_is_no_archive_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(content)

    with pytest.raises(ArchiveInvalid, match=r"image\.tar is not an image archive"):
        read_images(file)


def test_an_image_without_a_name_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    documents: dict[str, object] = {"manifest.json": [{"Config": "c.json", "RepoTags": None, "Layers": []}], "c.json": {}}
    with tarfile.open(archive, "w") as tar:
        for name, document in documents.items():
            (tmp_path / name).write_text(json.dumps(document))
            tar.add(tmp_path / name, arcname=name)

    with pytest.raises(ArchiveInvalid, match="without a name"):
        read_images(archive)


def write(folder: Path, *, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / "program"
    program.write_bytes(content)
    return write_archive(folder / "image.tar", reference=REFERENCE, programs={"/program": program}, entrypoint=["/program"])
