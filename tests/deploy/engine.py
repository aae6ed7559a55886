"""A Docker engine of the tests' own, in namespaces of its own: no bridge, rule, mount or process of it is seen on this machine.

Debian's dockerd and its containerd see a fresh /run in memory, which holds all their data, and end with the first process of
their namespace. Only the socket lies outside, by which docker and docker-compose reach it. What a namespace cannot hold back,
the control groups, is removed at the end.
"""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from devcluster.cgroups import mounted
from devcluster.processes import wait_until

CONTROL_GROUP = "chatbot-compose-test"
PYTHON = "/opt/chatbot/bin/python"
_OTHERS = re.compile(r"COMPOSE_|DOCKER_|(ADMIN_)?PORT$|BIND_ADDRESS$|IMAGE_PREFIX$|VERSION$|STOP_GRACE_PERIOD$|.*_proxy$", re.IGNORECASE)
"""Variables of the surroundings that would win over `.env`, lead to another engine, or past the ports of this machine."""
START_SECONDS = 60.0
COMMAND_SECONDS = 120.0

_DAEMON = f"""
ip link set lo up
mount -t tmpfs -o mode=0755 tmpfs /run
echo '{{}}' >/run/daemon.json
exec dockerd --config-file=/run/daemon.json --host="unix://$0" --data-root=/run/data --exec-root=/run/docker --pidfile=/run/docker.pid \
    --cgroup-parent=/{CONTROL_GROUP} --exec-opt=native.cgroupdriver=cgroupfs
"""


@dataclass(frozen=True)
class Engine:
    """A running engine: its socket, and dockerd's process, whose network the published ports are in."""

    socket: Path
    daemon: int

    def run(
        self,
        *argv: str | Path,
        cwd: Path | None = None,
        stdin: str = "",
        check: bool = True,
        seconds: float = COMMAND_SECONDS,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that talks to this engine; one that fails, fails the test with what it said."""
        inherited = {name: value for name, value in os.environ.items() if not _OTHERS.match(name)}
        environment = inherited | {"DOCKER_HOST": f"unix://{self.socket}"} | variables
        done = subprocess.run(argv, cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
        if check:
            assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done

    def paste(self, script: str, *, cwd: Path, stdin: str = "") -> str:
        """Return what a block of a page prints, run as it stands by somebody on the engine's machine; its first failure fails the test."""
        return self.run(*self._there, "bash", "-euo", "pipefail", "-c", script, cwd=cwd, stdin=stdin).stdout

    def docker(self, *arguments: str | Path) -> str:
        """Return what docker prints."""
        return self.run("docker", *arguments).stdout

    def inspect(self, container: str) -> dict[str, Any]:
        """Return all that Docker knows of a container."""
        found: dict[str, Any] = json.loads(self.docker("inspect", container))[0]
        return found

    def python(self, container: str, code: str) -> str:
        """Return what a Python program prints inside a container, as the container's own user."""
        return self.docker("exec", container, PYTHON, "-c", code).strip()

    def curl(self, *arguments: str) -> str:
        """Return what curl prints, called where the engine publishes its ports."""
        return self.run(*self._there, "curl", "--silent", "--show-error", "--fail-with-body", *arguments).stdout

    def chat(self, question: str = "Hello, how are you?") -> dict[str, Any]:
        """Return the service's answer."""
        body = json.dumps({"message": question})
        answer: dict[str, Any] = json.loads(self.curl("http://127.0.0.1:8080/api/chat", "--json", body))
        return answer

    def network_links(self) -> str:
        """Return the network interfaces that the engine has made."""
        return self.run(*self._there, "ip", "link").stdout

    @property
    def _there(self) -> tuple[str, ...]:
        return "nsenter", f"--net=/proc/{self.daemon}/ns/net"


@contextlib.contextmanager
def start_engine(folder: Path) -> Iterator[Engine]:
    """Run an engine until the block ends, or the test run is killed; its containers end with it."""
    socket, log = folder / "docker.sock", folder / "dockerd.log"
    contained = ["setpriv", "--pdeathsig=KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    with log.open("w") as output:
        process = subprocess.Popen([*contained, "sh", "-euc", _DAEMON, socket], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Engine(socket, _started(process, socket, log))
    finally:
        process.kill()  # the kernel then ends all that is in the namespaces, and they with it
        process.wait()
        for group in control_groups():
            wait_until(partial(_removed, group), what=f"the processes in {group} to end", timeout_seconds=START_SECONDS)


def control_groups() -> tuple[Path, ...]:
    """Return every folder of the engine's control group, the innermost first."""
    roots = [hierarchy / CONTROL_GROUP for kind in ("cgroup", "cgroup2") for hierarchy in mounted(kind)]
    return tuple(Path(folder) for root in roots for folder, _, _ in os.walk(root, topdown=False))


def _started(process: subprocess.Popen[bytes], socket: Path, log: Path) -> int:
    """Return dockerd's process as this machine counts it, once it answers."""

    def answers() -> bool:
        assert process.poll() is None, f"dockerd ended: {log.read_text()[-2000:]}"
        return subprocess.run(["docker", f"--host=unix://{socket}", "version"], capture_output=True, check=False).returncode == 0

    wait_until(answers, what=f"dockerd to answer, see {log}", timeout_seconds=START_SECONDS)
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):  # not empty yet
        group.rmdir()
    return not group.exists()
