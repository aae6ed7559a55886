"""promtool: Debian's, of Prometheus 2, and the one of our Prometheus 3 where that was built. A rule means the same to both."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from devcluster.binaries import BINARIES
from devcluster.state import cache_folder

FETCHED = cache_folder() / "promtool-debian/promtool"
NONE = "no promtool: run scripts/promtool.sh, which fetches Debian's, or `python -m devcluster build promtool`"


@dataclass(frozen=True)
class Promtool:
    """One of them. Distributions leave discovery out: Debian's knows no Kubernetes."""

    path: Path
    discovers: bool

    def run(self, *arguments: str | Path) -> None:
        """Run it; its failure is the test's."""
        done = subprocess.run([self.path, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def promtools() -> dict[str, Path]:
    """Return those that are here."""
    built, packaged = BINARIES["promtool"], Path(shutil.which("promtool") or FETCHED)
    return ({"built": built.path} if built.is_current else {}) | ({"packaged": packaged} if packaged.exists() else {})


PROMTOOLS = [pytest.param(Promtool(path, discovers=name == "built"), id=name) for name, path in promtools().items()]


@pytest.fixture(params=PROMTOOLS or [pytest.param(None, marks=pytest.mark.skip(reason=NONE))])
def promtool(request: pytest.FixtureRequest) -> Promtool:
    """Each in turn."""
    found: Promtool = request.param
    return found
