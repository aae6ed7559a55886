"""Who is measured: how each is started, and by which Lease it shows that it works."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.operator.installed import Programs, go_version
from bench.service.processes import Command

OPERATOR = "chatbot-operator"
CONTROLLER_RUNTIME = "controller-runtime"
FLOOR = "floor"
NAMESPACE = "bench"
IMAGE = "general-purpose-chatbot:bench"


@dataclass(frozen=True)
class Place:
    """What a candidate is given: its account, a free port, and how often it polls."""

    kubeconfig: Path
    port: int
    poll_seconds: int


@dataclass(frozen=True)
class Candidate:
    """A program that is measured. `lease` is held by whoever leads; None if it applies once and watches nothing."""

    name: str
    version: str
    lease: str | None
    command: Callable[[Place], Command]


def operator(_programs: Programs) -> Candidate:
    """Return the operator of this repository, as it is installed for development."""

    def command(place: Place) -> Command:
        settings = {
            "SERVICE_IMAGE": IMAGE,
            "NAMESPACE": NAMESPACE,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(place.port),
            "REPORT_INTERVAL_SECONDS": str(place.poll_seconds),
        }
        environment = {f"OPERATOR_{name}": value for name, value in settings.items()} | {"KUBECONFIG": str(place.kubeconfig)}
        return Command([Path(sys.executable).with_name("chatbot-operator")], environment)

    return Candidate(OPERATOR, f"{version('chatbot-operator')} on Python {sys.version.split()[0]}", "chatbot-operator", command)


def controller_runtime(programs: Programs) -> Candidate:
    """Return the operator of the same function in Go."""

    def command(place: Place) -> Command:
        flags = [f"--namespace={NAMESPACE}", f"--image={IMAGE}", f"--metrics=127.0.0.1:{place.port}", f"--interval={place.poll_seconds}s"]
        return Command([programs.controller, *flags], {"KUBECONFIG": str(place.kubeconfig)})

    return Candidate(CONTROLLER_RUNTIME, f"{programs.controller_runtime} on {go_version()}", "controller-runtime", command)


def floor(programs: Programs) -> Candidate:
    """Return the bare applies."""

    def command(place: Place) -> Command:
        return Command([programs.floor, f"--image={IMAGE}"], {"KUBECONFIG": str(place.kubeconfig)})

    return Candidate(FLOOR, go_version(), None, command)


BUILDERS: Mapping[str, Callable[[Programs], Candidate]] = {OPERATOR: operator, CONTROLLER_RUNTIME: controller_runtime, FLOOR: floor}
