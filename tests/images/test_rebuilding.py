"""When `images.py build` builds, and when it does not: on a small tree of its own, with a builder that must not be asked for."""

import json
from pathlib import Path

import pytest

from scripts import images
from scripts.image.builders import Builder, ImagesError

IMAGE = images.IMAGES["general-purpose-chatbot"]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose image is built already; asking for a builder raises."""

    def no_builder() -> Builder:
        raise ImagesError("a build was asked for")

    monkeypatch.setattr(images, "ROOT", tmp_path)
    monkeypatch.setattr(images, "OUTPUT", tmp_path / ".build/images")
    monkeypatch.setattr(images, "find_builder", no_builder)
    for name in ("VERSION", "BASE_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    for name in (
        ".dockerignore",
        "Dockerfile.service",
        "requirements/dev.txt",
        "requirements/service.txt",
        "scripts/images.py",
        "scripts/image/runtime.sh",
    ):
        write(tmp_path / name)
    write(tmp_path / "VERSION", "1.2.3\n")
    write(tmp_path / "service/src/chatbot_service/app.py")
    write(IMAGE.archive)
    record = {"inputs": images.inputs_digest(IMAGE), "archive_bytes": IMAGE.archive.stat().st_size, "unpacked_bytes": 98_600_000}
    write(IMAGE.record, json.dumps(record))
    return tmp_path


def write(path: Path, content: str = "content") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_an_unchanged_tree_builds_nothing_and_tells_the_sizes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images.build([IMAGE.name], fresh=False)

    assert "sizes unpacked: general-purpose-chatbot 99 MB" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changed",
    [
        "Dockerfile.service",
        ".dockerignore",
        "requirements/service.txt",
        "scripts/image/runtime.sh",
        "service/src/chatbot_service/new.py",
        "VERSION",
    ],
)
def test_a_changed_input_builds_again(changed: str, tree: Path) -> None:
    write(tree / changed, "changed")

    with pytest.raises(ImagesError, match="a build was asked for"):
        images.build([IMAGE.name], fresh=False)


@pytest.mark.parametrize(
    "irrelevant", ["service/src/chatbot_service/__pycache__/app.pyc", "service/dist/old.whl", "operator/src/operator.py", "README.md"]
)
def test_other_files_do_not_count(irrelevant: str, tree: Path) -> None:
    write(tree / irrelevant)

    images.build([IMAGE.name], fresh=False)


@pytest.mark.parametrize(("variable", "value"), [("VERSION", "2.0.0"), ("BASE_IMAGE", "debian:other")])
def test_another_version_or_base_builds_again(variable: str, value: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ImagesError, match="a build was asked for"):
        images.build([IMAGE.name], fresh=False)


def test_what_is_built_has_the_version_written_in(tree: Path) -> None:
    """As an ARG it would not renew what buildah has cached."""
    write(tree / "Dockerfile.service", "ARG VERSION\nENV VERSION=${VERSION}\n")

    assert images.dockerfile_text(IMAGE) == "ENV VERSION=1.2.3\n"


def test_a_lost_or_cut_archive_builds_again(tree: Path) -> None:
    IMAGE.archive.write_text("cut")

    with pytest.raises(ImagesError, match="a build was asked for"):
        images.build([IMAGE.name], fresh=False)


def test_a_wanted_fresh_build_is_done(tree: Path) -> None:
    with pytest.raises(ImagesError, match="a build was asked for"):
        images.build([IMAGE.name], fresh=True)


def test_an_unknown_image_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        images.main(["build", "chatbot"])

    assert "no such image: chatbot" in capsys.readouterr().err
