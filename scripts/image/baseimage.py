"""The base image where no registry can be reached: a minimal Debian made by debootstrap from this machine's own mirrors.

Its files are kept as a tar archive in the user's cache, so that an emptied image store costs seconds, not the whole bootstrap.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts.image.builders import Builder, ImagesError, output_of, run

SUITE = "trixie"
REGISTRY_BASE = "debian:trixie-slim"
LOCAL_BASE = "localhost/debian-trixie-minbase:latest"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHIVE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chatbot-devcluster/debian-trixie-minbase/rootfs.tar"


def find_base(builder: Builder, *, say: Callable[[str], None]) -> str:
    """Return the base image's reference: BASE_IMAGE, else one at hand, else the registry's, else one made here."""
    if chosen := os.environ.get("BASE_IMAGE"):
        return chosen
    for reference in (LOCAL_BASE, REGISTRY_BASE):
        if builder.has(reference):
            return reference
    if not ARCHIVE.exists():
        say(f"pulling {REGISTRY_BASE}")
        if builder.pull(REGISTRY_BASE):
            return REGISTRY_BASE
        say("no image registry can be reached: making the base image from Debian's packages")
    return make_base(builder, fresh=False, say=say)


def make_base(builder: Builder, *, fresh: bool, say: Callable[[str], None]) -> str:
    """Return the reference of the base image made of Debian's packages, making and importing it where needed."""
    if fresh or not ARCHIVE.exists():
        say(f"debootstrap {SUITE} (under a minute, once a machine)")
        bootstrap(ARCHIVE)
    if fresh or not builder.has(LOCAL_BASE):
        builder.import_files(ARCHIVE, LOCAL_BASE)
    say(f"base image {LOCAL_BASE} is at hand")
    return LOCAL_BASE


def bootstrap(archive: Path) -> None:
    """Write a minimal Debian to `archive`. Signatures are checked; what it mounts stays in a namespace of its own."""
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not program or not KEYRING.exists():
        raise ImagesError("no base image: as root `apt-get install debootstrap debian-archive-keyring`, or name one by BASE_IMAGE")
    if os.geteuid() != 0:
        raise ImagesError("making the base image needs root: run this as root, or name a base image by BASE_IMAGE")
    mirrors = configured_mirrors()
    options = ["--variant=minbase", "--force-check-gpg", f"--keyring={KEYRING}"]
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        root, draft = Path(folder) / "root", Path(folder) / archive.name
        made = run("unshare", "--mount", program, *options, SUITE, root, mirrors[SUITE])
        if made.returncode != 0:
            words = (made.stderr + made.stdout).strip().splitlines()
            raise ImagesError(
                f"debootstrap failed: {words[-1] if words else made.returncode}; is there a network? BASE_IMAGE can name another base"
            )
        slim(root)
        (root / "etc/apt/sources.list").write_text("".join(f"deb {uri} {suite} main\n" for suite, uri in mirrors.items()))
        output_of("tar", "--create", f"--file={draft}", f"--directory={root}", "--numeric-owner", "--sort=name", ".")
        draft.replace(archive)


def slim(root: Path) -> None:
    """Remove this machine's traces, caches, manuals and translations."""
    for path in ("etc/resolv.conf", "etc/hostname", "etc/machine-id"):
        (root / path).unlink(missing_ok=True)
    for path in ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/man", "usr/share/locale"):
        for entry in (root / path).iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def configured_mirrors() -> dict[str, str]:
    """Return the addresses of this machine's Debian mirrors by suite; raises ImagesError if apt knows none."""
    if not shutil.which("apt-get"):
        raise ImagesError("no base image, and no apt here to make one: name one by BASE_IMAGE")
    return choose_mirrors(output_of("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"))


def choose_mirrors(targets: str) -> dict[str, str]:
    """Return suite → address, ours first, from lines of `release component address`.

    Debian's own archive is the release that apt follows together with its `-updates` or `-security`; other sources have neither.
    """
    rows = [row.split(maxsplit=2) for row in targets.splitlines()]
    known = {release: uri for release, component, uri in rows if component == "main" and uri.startswith(("http://", "https://", "file:"))}
    for release, uri in known.items():
        companions = {suffix: known[f"{release}{suffix}"] for suffix in ("-updates", "-security") if f"{release}{suffix}" in known}
        if companions:
            return {SUITE: uri} | {f"{SUITE}{suffix}": address for suffix, address in companions.items()}
    raise ImagesError("apt is not configured for a Debian mirror: add one, or name a base image by BASE_IMAGE")
