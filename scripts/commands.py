"""Runs other programs for the scripts: output kept, failures turned into one line that says what to do.

A secret reaches a program by standard input only, never by its arguments or its environment.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
API_KEY_VARIABLE = "ANTHROPIC_API_KEY"
KLOG = re.compile(r"[IWE]\d{4} \d\d:\d\d:")  # what client-go logs on the way: kubectl says the error again at the end


class Failed(Exception):
    """A script cannot go on; the message is one line for the person at the screen."""


def environment() -> dict[str, str]:
    """Return this process's environment for a child: without the API key."""
    return {name: value for name, value in os.environ.items() if name != API_KEY_VARIABLE}


def run(argv: Sequence[str | Path], *, stdin: str | None = None, env: Mapping[str, str] | None = None, timeout_seconds: float = 600) -> str:
    """Return the standard output of `argv`; raises Failed with its standard error as one line."""
    name = _spoken(argv)
    try:
        done = subprocess.run(
            argv, input=stdin, env=env or environment(), cwd=ROOT, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except FileNotFoundError as error:
        raise Failed(f"{name}: {error.filename} is not there") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{name} did not end within {timeout_seconds:.0f} s") from error
    if done.returncode:
        raise Failed(f"{name}: {one_line(done.stderr) or one_line(done.stdout) or f'exit code {done.returncode}'}")
    return done.stdout


def _spoken(argv: Sequence[str | Path]) -> str:
    """Return how a person would call the command: `kubectl apply`, `devcluster load`."""
    words = [Path(argv[0]).name, *(str(word) for word in argv[1:])]
    return " ".join((words[2:] if words[1:2] == ["-m"] else words)[:2])


def one_line(text: str, *, most_characters: int = 600) -> str:
    """Return `text` without its line breaks and without klog's lines; of a long one the end, where programs say what went wrong."""
    lines = [line for line in text.splitlines() if not KLOG.match(line)]
    return " ".join(" ".join(lines or text.splitlines()).split())[-most_characters:]


def last_line(text: str) -> str:
    """Return the last line of `text` that is not blank, or nothing."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


@dataclass(frozen=True, kw_only=True)
class Tools:
    """kubectl and helm, pointed at one cluster; `kubeconfig` is a value for KUBECONFIG."""

    kubectl_binary: Path
    helm_binary: Path
    kubeconfig: str
    context: str | None = None

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 600) -> str:
        """Return kubectl's standard output."""
        return run(self._kubectl(arguments), stdin=stdin, env=self._environment, timeout_seconds=timeout_seconds)

    def kubectl_json(self, *arguments: str) -> dict[str, Any]:
        """Return what kubectl prints with `-o json`; nothing at all becomes an empty object."""
        answer: dict[str, Any] = json.loads(self.kubectl(*arguments, "--output=json") or "{}")
        return answer

    def helm(self, *arguments: str, timeout_seconds: float = 600) -> str:
        """Return helm's standard output."""
        context = (f"--kube-context={self.context}",) if self.context else ()
        return run([self.helm_binary, *arguments, *context], env=self._environment, timeout_seconds=timeout_seconds)

    @contextmanager
    def port_forward(self, *arguments: str) -> Iterator[int]:
        """Yield a port on 127.0.0.1 that leads to what `arguments` name (`service/x`, `--namespace=y`), port `http`."""
        argv = self._kubectl(("port-forward", *arguments, ":http"))
        with subprocess.Popen(argv, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield _forwarded_port(process)
            finally:
                process.terminate()

    @property
    def _environment(self) -> dict[str, str]:
        return environment() | {"KUBECONFIG": self.kubeconfig, "KUBECACHEDIR": str(ROOT / ".build" / "kubectl-cache")}

    def _kubectl(self, arguments: tuple[str, ...]) -> list[str | Path]:
        return [self.kubectl_binary, *arguments, *((f"--context={self.context}",) if self.context else ())]


def _forwarded_port(process: subprocess.Popen[str]) -> int:
    """Return the port of kubectl's first line, `Forwarding from 127.0.0.1:40123 -> 8080`."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    assert process.stderr is not None  # noqa: S101
    line = process.stdout.readline()
    if not line:
        raise Failed(f"kubectl port-forward: {last_line(process.stderr.read()) or 'ended without a word'}")
    return int(line.split(" -> ")[0].rpartition(":")[2])
