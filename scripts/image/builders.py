"""docker and buildah behind one Protocol: what turns a Dockerfile into an image, and an image into a docker-archive.

Neither bakes a proxy into an image; the host's CA bundle goes along as a build secret, so it is in no layer.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
PULL_SECONDS = 120
ANSWER_SECONDS = 20
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class ImagesError(Exception):
    """What stopped a build, in one line that says what to do."""


@dataclass(frozen=True)
class Recipe:
    """One build: `context` is the folder that the Dockerfile's COPY lines speak of."""

    context: Path
    dockerfile: Path
    base: str
    tags: tuple[str, ...]
    fresh: bool
    log: Path


class Builder(Protocol):
    """A program that builds images and keeps them in a store of its own."""

    def has(self, reference: str) -> bool:
        """Return whether the image is in the store."""

    def pull(self, reference: str) -> bool:
        """Return whether the image could be had from its registry."""

    def import_files(self, archive: Path, reference: str) -> None:
        """Make an image of a root file system's tar archive."""

    def build(self, recipe: Recipe, *, on_step: Callable[[str], None]) -> None:
        """Build and tag an image; `on_step` is told each command that runs."""

    def export(self, archive: Path, tags: Sequence[str]) -> None:
        """Write a docker-archive of one image with all its tags."""


@dataclass(frozen=True)
class Docker:
    """The docker client at `program`, whose daemon answers."""

    program: str

    def has(self, reference: str) -> bool:
        return run(self.program, "image", "inspect", reference).returncode == 0

    def pull(self, reference: str) -> bool:
        return succeeds(self.program, "pull", "--quiet", reference, seconds=PULL_SECONDS)

    def import_files(self, archive: Path, reference: str) -> None:
        output_of(self.program, "import", archive, reference)

    def build(self, recipe: Recipe, *, on_step: Callable[[str], None]) -> None:
        proxies = [f"--build-arg={name}" for name in PROXIES if name in os.environ]
        options = ["--progress=plain", "--network=host", "--build-arg=SOURCE_DATE_EPOCH=0", *proxies]
        run_logged([self.program, "build", *options, *shared_options(recipe), "."], recipe, on_step=on_step)

    def export(self, archive: Path, tags: Sequence[str]) -> None:
        output_of(self.program, "save", "--output", archive, *tags)


@dataclass(frozen=True)
class Buildah:
    """buildah as root; it hands the proxy variables on by itself and keeps them out of the image."""

    program: str

    def has(self, reference: str) -> bool:
        return run(self.program, "inspect", "--type=image", reference).returncode == 0

    def pull(self, reference: str) -> bool:
        return succeeds(self.program, "pull", "--quiet", reference, seconds=PULL_SECONDS)

    def import_files(self, archive: Path, reference: str) -> None:
        container = output_of(self.program, "from", "scratch").strip()
        try:
            output_of(self.program, "add", "--quiet", container, archive, "/")
            output_of(self.program, "commit", "--quiet", container, reference)
        finally:
            run(self.program, "rm", container)

    def build(self, recipe: Recipe, *, on_step: Callable[[str], None]) -> None:
        options = ["--isolation=chroot", "--network=host", "--layers", "--force-rm", "--timestamp=0"]
        run_logged([self.program, "bud", *options, *shared_options(recipe), "."], recipe, on_step=on_step)

    def export(self, archive: Path, tags: Sequence[str]) -> None:
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            single = Path(folder) / "image.tar"
            output_of(self.program, "push", "--quiet", f"localhost/{tags[0]}", f"docker-archive:{single}:{tags[0]}")
            retag(single, archive, tags)


def find_builder() -> Builder:
    """Return docker if it answers and knows build secrets, else buildah; raises ImagesError if neither can work."""
    for program in dict.fromkeys(filter(None, (shutil.which("docker"), shutil.which("docker", path="/usr/bin")))):
        if builds_with_secrets(program):
            return Docker(program)
    buildah = shutil.which("buildah")
    if not buildah:
        raise ImagesError("no docker daemon answers and buildah is missing: start docker, or as root `apt-get install buildah debootstrap`")
    if os.geteuid() != 0:
        raise ImagesError("no docker daemon answers, and buildah needs root here: start docker, or run this as root")
    return Buildah(buildah)


def builds_with_secrets(program: str) -> bool:
    """Return whether this docker client has a daemon and BuildKit (without its buildx plugin a newer client has not)."""
    if not succeeds(program, "info", seconds=ANSWER_SECONDS):
        return False
    usage = run("env", "DOCKER_BUILDKIT=1", program, "build", "--help", seconds=ANSWER_SECONDS)
    return usage.returncode == 0 and "--secret" in usage.stdout


def shared_options(recipe: Recipe) -> list[str]:
    """Return the options that docker and buildah spell alike."""
    options = [f"--file={recipe.dockerfile}", f"--build-arg=BASE_IMAGE={recipe.base}"]
    options += [f"--tag={tag}" for tag in recipe.tags]
    certificates = Path(os.environ.get("SSL_CERT_FILE") or CERTIFICATES)
    if certificates.is_file():
        options.append(f"--secret=id=ca,src={certificates}")
    return [*options, "--no-cache"] if recipe.fresh else options


def retag(source: Path, target: Path, tags: Sequence[str]) -> None:
    """Copy a docker-archive, giving its one image these tags (buildah writes a single one)."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            if member.name == "manifest.json":
                manifest = read_json(old, member)
                manifest[0]["RepoTags"] = list(tags)
                add_json(new, member, manifest)
            elif member.name != "repositories":
                new.addfile(member, old.extractfile(member) if member.isfile() else None)


def run(*argv: str | Path, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return its result, whatever its exit code."""
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False, timeout=seconds)


def succeeds(*argv: str | Path, seconds: float) -> bool:
    """Return whether a command succeeds within its time."""
    try:
        return run(*argv, seconds=seconds).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def output_of(*argv: str | Path) -> str:
    """Return a command's output; raises ImagesError with its last words if it fails."""
    result = run(*argv)
    if result.returncode != 0:
        words = (result.stderr or result.stdout).strip().splitlines()
        raise ImagesError(f"{Path(argv[0]).name} {argv[1]} failed: {words[-1] if words else f'exit code {result.returncode}'}")
    return result.stdout


def run_logged(argv: Sequence[str], recipe: Recipe, *, on_step: Callable[[str], None]) -> None:
    """Run a build, its output going to the log; raises ImagesError with the most telling line, after showing the last ones."""
    lines: list[str] = []
    steps: set[str] = set()
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    with (
        recipe.log.open("w") as log,
        subprocess.Popen(
            argv, cwd=recipe.context, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                log.write(line)
                lines.append(line.rstrip())
                if (step := re.search(r"(?:\bSTEP\b|^#\d+ \[).*\bRUN\b.*? sh /image/(.*)", line)) and step[1] not in steps:
                    steps.add(step[1])  # docker repeats a step's name whenever it comes back to its output
                    on_step(step[1].replace("/image/", "").rstrip())
        except KeyboardInterrupt:
            process.terminate()
            raise
    if process.returncode != 0:
        sys.stderr.write("\n".join([*lines[-25:], ""]))
        raise ImagesError(f"{telling_line(lines)} (whole log: {recipe.log})")


def telling_line(lines: Sequence[str]) -> str:
    """Return the line of a failed build's output that says most: a network's failure, else an error, else the last."""
    network = (
        r"(?i)temporary failure (?:in name )?resol|could not resolve|name or service not known|network is unreachable|no route to host"
    )
    for pattern in (network, r"(?i)no space left|^\s*(?:error|e):"):
        for line in lines:
            if re.search(pattern, line):
                return line.strip()
    return lines[-1] if lines else "the build ended without a word"


def read_json(archive: tarfile.TarFile, member: tarfile.TarInfo | str) -> Any:
    """Return a member of an archive, decoded."""
    file = archive.extractfile(member)
    if file is None:
        raise ImagesError(f"{archive.name!r} is no docker-archive")
    return json.load(file)


def add_json(archive: tarfile.TarFile, member: tarfile.TarInfo, value: Any) -> None:
    """Add a JSON document in place of a member, keeping the member's name, mode and time."""
    content = json.dumps(value).encode()
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
