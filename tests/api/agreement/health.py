"""What kstatus and Argo CD make of an object: the real library, and our script in Argo CD's own interpreter."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chatbot_operator.resource import Manifest
from devcluster import binaries

SCRIPT = Path(__file__).parents[3] / "deploy" / "argocd" / "health.lua"


@dataclass(frozen=True)
class Verdict:
    """How far each thinks the object is, and what Argo CD tells people."""

    kstatus: str
    argo: str
    message: str


@dataclass(frozen=True)
class Health:
    """A running program `health`: an object in, a verdict out."""

    process: subprocess.Popen[str]

    def verdict(self, manifest: Manifest) -> Verdict:
        """Return what both make of the object."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(manifest) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"health ended with {self.process.wait()} at {manifest}"
        return Verdict(**json.loads(answer))


@contextmanager
def health(script: Path = SCRIPT) -> Iterator[Health]:
    """Run the program with Argo CD's script until the block ends."""
    command = [binaries.binary("health"), script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Health(process)
