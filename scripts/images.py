"""Builds the three container images without needing an image registry: `images.py build [NAME…]` and `images.py base`.

Each image ends up as a docker-archive `.build/images/NAME.tar`, tagged with the version and `latest`, beside a record of
the inputs that it was made of: an unchanged tree builds nothing. What a build does is in the Dockerfiles and `scripts/image/`.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run by its path, this file alone would be found

from scripts.image.baseimage import LOCAL_BASE, find_base, make_base  # noqa: E402
from scripts.image.builders import Builder, ImagesError, Recipe, find_builder, read_json  # noqa: E402

OUTPUT = ROOT / ".build/images"
DISK_BLOCK_BYTES = 4096
STARTED = time.monotonic()


@dataclass(frozen=True)
class Image:
    """One image: `folder` holds the distribution inside, `goal_megabytes` is the size unpacked that it should keep to."""

    name: str
    folder: str
    goal_megabytes: int

    @property
    def archive(self) -> Path:
        """Where the docker-archive goes."""
        return OUTPUT / f"{self.name}.tar"

    @property
    def dockerfile(self) -> Path:
        """Where the Dockerfile of the last build goes."""
        return OUTPUT / f"{self.name}.Dockerfile"

    @property
    def record(self) -> Path:
        """Where the record of the last build goes."""
        return OUTPUT / f"{self.name}.json"


IMAGES = {
    image.name: image
    for image in (
        Image("general-purpose-chatbot", "service", 120),
        Image("chatbot-operator", "operator", 150),
        Image("anthropic-simulator", "simulator", 100),
    )
}


def build(names: Sequence[str], *, fresh: bool) -> None:
    """Build those of the named images whose inputs changed, and print the sizes of all that are named."""
    images = [IMAGES[name] for name in names]
    stale = [image for image in images if fresh or recorded(image).get("inputs") != inputs_digest(image)]
    if stale:
        builder = find_builder()
        say(f"building with {type(builder).__name__.lower()}")
        base = find_base(builder, say=say)
        for image in stale:  # the first fresh build renews the stages that the others share
            build_image(builder, image, base=base, fresh=fresh and image is stale[0])
    sizes = (f"{image.name} {recorded(image)['unpacked_bytes'] / 1e6:.0f} MB (goal {image.goal_megabytes})" for image in images)
    say(f"sizes unpacked: {', '.join(sizes)}")


def build_image(builder: Builder, image: Image, *, base: str, fresh: bool) -> None:
    """Build one image, then write its archive and record; an interrupted build leaves no record, so it is done again."""
    say(f"{image.name}: building")
    digest = inputs_digest(image)
    image.record.unlink(missing_ok=True)
    image.dockerfile.write_text(dockerfile_text(image))
    recipe = Recipe(
        context=ROOT,
        dockerfile=image.dockerfile,
        base=base,
        tags=(f"{image.name}:{version()}", f"{image.name}:latest"),
        fresh=fresh,
        log=OUTPUT / f"{image.name}.log",
    )
    builder.build(recipe, on_step=lambda step: say(f"  {step}"))
    draft = image.archive.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    builder.export(draft, recipe.tags)
    record = {"inputs": digest, "tags": recipe.tags, "archive_bytes": draft.stat().st_size, "unpacked_bytes": unpacked_bytes(draft)}
    draft.replace(image.archive)
    image.record.write_text(json.dumps(record, indent=2) + "\n")
    say(f"{image.name}: {image.archive.relative_to(ROOT)} written")


def dockerfile_text(image: Image) -> str:
    """Return the image's Dockerfile with the version in place of its ARG, whose value buildah 1.28 does not look at in its cache."""
    return (ROOT / f"Dockerfile.{image.folder}").read_text().replace("ARG VERSION\n", "").replace("${VERSION}", version())


def version() -> str:
    """Return the images' tag: VERSION in the environment, else in the file."""
    return os.environ.get("VERSION") or (ROOT / "VERSION").read_text().strip()


def inputs_digest(image: Image) -> str:
    """Return a digest of everything in this tree and environment that goes into an image."""
    digest = hashlib.sha256(f"{version()}\n{os.environ.get('BASE_IMAGE', '')}\n".encode())
    for path in sorted(input_files(image)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {os.access(path, os.X_OK)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def input_files(image: Image) -> Iterator[Path]:
    """Yield the files that an image is made of."""
    yield from (ROOT / ".dockerignore", ROOT / f"Dockerfile.{image.folder}", ROOT / "scripts/images.py")
    yield from (ROOT / "requirements/dev.txt", ROOT / f"requirements/{image.folder}.txt")
    yield from (path for path in (ROOT / "scripts/image").iterdir() if path.is_file())
    for folder, names, files in os.walk(ROOT / image.folder):
        names[:] = [name for name in names if name not in ("__pycache__", "dist") and not name.endswith(".egg-info")]
        yield from (Path(folder) / file for file in files)


def recorded(image: Image) -> dict[str, Any]:
    """Return the record of the last build if its archive is still in place, else an empty one."""
    try:
        record: dict[str, Any] = json.loads(image.record.read_text())
        return record if image.archive.stat().st_size == record["archive_bytes"] else {}
    except (FileNotFoundError, ValueError, KeyError):
        return {}


def unpacked_bytes(archive: Path) -> int:
    """Return what an image's files take on a disk."""
    total = 0
    with tarfile.open(archive) as outer:
        for layer in read_json(outer, "manifest.json")[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                total += sum(-(-member.size // DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES for member in inner)
    return total


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Keep other builds of this checkout waiting."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with (OUTPUT / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build of this checkout is running: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Print a progress line with the time since the start."""
    print(f"images {time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the verb and its options; ends the program on a wrong one."""
    parser = argparse.ArgumentParser(prog="images.py", description="Build the container images.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    building = verbs.add_parser("build", help="build the images whose inputs changed")
    building.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(IMAGES)}; none means all")
    basing = verbs.add_parser("base", help=f"make {LOCAL_BASE} of Debian's packages")
    for verb in (building, basing):
        verb.add_argument("--fresh", action="store_true", help="take nothing from earlier builds")
    arguments = parser.parse_args(argv)
    if unknown := set(getattr(arguments, "names", ())) - IMAGES.keys():
        parser.error(f"no such image: {', '.join(sorted(unknown))} (there are {', '.join(IMAGES)})")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code."""
    arguments = parse_arguments(argv)
    try:
        with exclusive():
            if arguments.verb == "base":
                make_base(find_builder(), fresh=arguments.fresh, say=say)
            else:
                build(arguments.names or list(IMAGES), fresh=arguments.fresh)
    except (ImagesError, OSError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("images: interrupted; what is not finished is built next time", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background of a script the first would be ignored
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
