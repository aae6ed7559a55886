"""Who is compared: how each candidate is started, what it is asked, and when it counts as ready."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.service import installed
from bench.service.load import Asks
from bench.service.processes import Command

SERVICE = "chatbot-service"
BARE = "bare route"
SDK_DEFAULT = "SDK default"
SDK_AIOHTTP = "SDK on aiohttp"
GO_PROXY = "Go proxy"
NGINX = "nginx"
LITELLM = "LiteLLM"
LITELLM_PASSING = "LiteLLM, passing on"
PORTKEY = "Portkey"

_BODY = '{"model":"claude-sonnet-5-5","max_tokens":1024,"stream":{stream},"messages":[{"role":"user","content":"{text}"}]}'
DIRECTLY = Asks("/v1/messages", _BODY, {})
"""What is asked of the API itself, and of whoever passes it on as it is."""
COMPLETIONS = Asks("/v1/chat/completions", _BODY, {})
"""The same of those that translate it, to and fro."""

_TOKEN = "bench-token-0123456789abcdef0123456789abcdef"  # noqa: S105  opens nothing
_A_MODEL = "/v1/models/claude-sonnet-5-5"
_CHAT = '{"message":"{text}","stream":{stream}}'


@dataclass(frozen=True)
class Place:
    """Where a candidate runs: its port, the next one too, a folder of its own, and the API that it asks; over TLS by what root."""

    port: int
    folder: Path
    upstream: str
    root_file: Path | None = None

    @property
    def url(self) -> str:
        """What it is asked at."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Candidate:
    """One way to put a server in front of the API. `holds` says that it is also asked to hold as many streams as it should."""

    name: str
    version: str
    command: Callable[[Place], Command]
    asks: Asks
    live_path: str
    ready_path: str
    holds: bool = False


def chatbot_service(programs: Path | None = None) -> Candidate:
    """Return this service with every feature on, run in an environment of its own or that of `programs`."""
    programs = programs or installed.install_service()

    def command(place: Place) -> Command:
        files = {"key": "bench", "tokens": f"another-{_TOKEN}\n{_TOKEN}\n", "prompt": "You are a helpful assistant."}
        for name, content in files.items():
            (place.folder / name).write_text(content)
        environment = {
            "PORT": str(place.port),
            "ADMIN_PORT": str(place.port + 1),
            "ANTHROPIC_BASE_URL": place.upstream,
            "ANTHROPIC_API_KEY_FILE": str(place.folder / "key"),
            "SYSTEM_PROMPT_FILE": str(place.folder / "prompt"),
            "CLIENT_AUTH_MODE": "Token",
            "CLIENT_TOKENS_FILE": str(place.folder / "tokens"),
            "RATE_LIMIT_RPS": "1000000",
            "RATE_LIMIT_PER_CLIENT_RPS": "1000000",
            "TRUSTED_PROXIES": "127.0.0.0/8",
            "CORS_ALLOWED_ORIGINS": "https://yourdomain.com",
            "MAX_IN_FLIGHT": "10000",
            "DRAIN_DELAY": "0s",
            "DRAIN_TIMEOUT": "1s",
        }
        if place.root_file is not None:
            environment["ANTHROPIC_CA_FILE"] = str(place.root_file)
        return Command([programs / "chatbot-service"], environment)

    headers = {"Authorization": f"Bearer {_TOKEN}", "Origin": "https://yourdomain.com", "X-Forwarded-For": "192.168.1.100"}
    asks = Asks("/api/chat", _CHAT, headers)
    version = (installed.ROOT / "VERSION").read_text().strip()
    return Candidate(SERVICE, version, command, asks, "/health/live", "/health/ready", holds=True)


def sdk_default() -> Candidate:
    """Return Starlette and the SDK as their documentation shows them."""
    return _route(SDK_DEFAULT, "sdk_default.py", ("anthropic", "starlette", "uvicorn"))


def sdk_aiohttp() -> Candidate:
    """Return the cheapest route inside the public SDK, in this environment: the service's own has no aiohttp."""
    programs, locked = Path(sys.executable).parent, installed.ROOT / "requirements/dev.txt"
    return _route(SDK_AIOHTTP, "sdk_aiohttp.py", ("anthropic", "aiohttp"), programs=programs, locked=locked)


def bare() -> Candidate:
    """Return a route on this service's own calls of the API and none of its features."""
    return _route(BARE, "bare.py", ("chatbot-service", "starlette", "uvicorn"))


def go_proxy(binaries: installed.Binaries) -> Candidate:
    """Return Go's reverse proxy."""

    def command(place: Place) -> Command:
        return Command([binaries.proxy, f"-listen=127.0.0.1:{place.port}", f"-to={place.upstream}"], {})

    return Candidate(GO_PROXY, _said(["go", "version"]), command, DIRECTLY, _A_MODEL, _A_MODEL, holds=True)


def nginx() -> Candidate:
    """Return nginx as a reverse proxy."""
    program = installed.find_nginx()

    def command(place: Place) -> Command:
        configuration = (installed.HERE / "nginx.conf").read_text()
        filled = configuration.replace("{port}", str(place.port)).replace("{upstream}", place.upstream.removeprefix("http://"))
        (place.folder / "nginx.conf").write_text(filled)
        return Command([program, "-p", place.folder, "-e", "stderr", "-c", place.folder / "nginx.conf"], {})

    return Candidate(NGINX, _said([program, "-v"]), command, DIRECTLY, _A_MODEL, _A_MODEL, holds=True)


def litellm(name: str, asks: Asks) -> Candidate:
    """Return LiteLLM's proxy."""
    programs = installed.install_litellm()

    def command(place: Place) -> Command:
        options = {"config": installed.HERE / "litellm/config.yaml", "host": "127.0.0.1", "port": place.port, "telemetry": False}
        environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": f"sk-{_TOKEN}", "UPSTREAM": place.upstream}
        return Command([programs / "litellm", *(f"--{name}={value}" for name, value in options.items())], environment)

    authorized = replace(asks, headers={"Authorization": f"Bearer sk-{_TOKEN}"})
    version = _version(installed.LITELLM_LOCK, "litellm")
    return Candidate(name, version, command, authorized, "/health/liveliness", "/health/readiness")


def portkey() -> Candidate:
    """Return Portkey's gateway, asked where it passes the API's own events on: its other endpoint costs it more."""
    script = installed.install_portkey()

    def command(place: Place) -> Command:
        return Command(["node", script, f"--port={place.port}", "--headless"], {"UPSTREAM": place.upstream})

    headers = {"x-portkey-provider": "anthropic", "x-portkey-custom-host": "{upstream}/v1", "Authorization": "Bearer bench"}
    version = str(json.loads((installed.HERE / "portkey/package.json").read_text())["dependencies"]["@portkey-ai/gateway"])
    return Candidate(PORTKEY, version, command, replace(DIRECTLY, headers=headers), "/", "/")


def _route(
    name: str, script: str, packages: Sequence[str], *, programs: Path | None = None, locked: Path = installed.SERVICE_LOCK
) -> Candidate:
    """Return one of the routes in apps/, run in the service's own environment or another one of `programs`."""
    programs = programs or installed.install_service()

    def command(place: Place) -> Command:
        return Command([programs / "python", installed.HERE / "apps" / script, str(place.port), place.upstream], {})

    version = ", ".join(f"{package} {_version(locked, package)}" for package in packages)
    return Candidate(name, version, command, Asks("/api/chat", _CHAT, {}), "/health", "/health")


def _version(locked: Path, package: str) -> str:
    found = re.search(rf"^{re.escape(package)}(?:\[[^]]*\])?==([^ ]+)", locked.read_text(), re.MULTILINE)
    return found[1] if found is not None else "of this tree"


def _said(command: Sequence[str]) -> str:
    """Return the version that a program names."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found is not None else "unknown"


BUILDERS: dict[str, Callable[[installed.Binaries], Candidate]] = {
    SERVICE: lambda _: chatbot_service(),
    BARE: lambda _: bare(),
    GO_PROXY: go_proxy,
    NGINX: lambda _: nginx(),
    SDK_AIOHTTP: lambda _: sdk_aiohttp(),
    SDK_DEFAULT: lambda _: sdk_default(),
    PORTKEY: lambda _: portkey(),
    LITELLM_PASSING: lambda _: litellm(LITELLM_PASSING, DIRECTLY),
    LITELLM: lambda _: litellm(LITELLM, COMPLETIONS),
}
"""In the order of the tables."""
