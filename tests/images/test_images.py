"""What the built images hold, and that they run as a pod runs them."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts import images
from tests.conftest import Simulator
from tests.images.conftest import PYTHON, Image
from tests.images.relay import Relay

pytestmark = pytest.mark.images

USER = 1001
START_SECONDS = 60.0
UNCHECKED_HASH = b"\x01\x00\x00\x00"
SHELL = re.compile(rb"#! ?/(usr/)?bin/(env|sh|bash|dash)\b")
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
COUNT_AUTHORITIES = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
HANDSHAKE = """
import socket, ssl
try:
    with socket.create_connection(("127.0.0.1", {port})) as plain:
        with ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            print(secure.version())
except ssl.SSLCertVerificationError as error:
    print(error.verify_message)
"""
IMPORT_EVERYTHING = """
import importlib, pathlib, sys, sysconfig
extensions = pathlib.Path(sysconfig.get_path("stdlib"), "lib-dynload")
packages = pathlib.Path(sysconfig.get_path("purelib"))
names = [path.name.split(".")[0] for path in extensions.glob("*.so")]
names += [path.name.split(".")[0] for path in packages.iterdir() if (path / "__init__.py").exists() or path.suffix in (".py", ".so")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def test_every_image_carries_both_tags(image: Image) -> None:
    assert image.tags == [f"{image.name}:{images.version()}", f"{image.name}:latest"]


def test_every_image_says_its_version_and_the_service_shows_it(image: Image) -> None:
    assert image.configuration["Labels"]["org.opencontainers.image.version"] == images.version()
    assert image.environment.get("IMAGE_VERSION") == (images.version() if image.name == "general-purpose-chatbot" else None)


def test_every_image_keeps_to_its_size(image: Image) -> None:
    assert image.unpacked_bytes <= images.IMAGES[image.name].goal_megabytes * 1_000_000


def test_python_and_the_entry_point_are_the_only_programs(image: Image) -> None:
    programs = {"/" + str(path.relative_to(image.rootfs)) for path in image.files() if {"bin", "sbin", "libexec"} & set(path.parts)}

    assert programs == {"/usr/bin/python3.13", *image.entrypoint}


def test_no_program_or_script_asks_for_a_shell(image: Image) -> None:
    executable = [path for path in image.files() if path.stat().st_mode & 0o111]

    assert [path for path in executable if SHELL.match(path.read_bytes()[:32])] == []


def test_a_shell_cannot_be_started(image: Image) -> None:
    with image.running(["/bin/sh", "-c", "true"]) as process:
        output, _ = process.communicate(timeout=30)

    assert process.returncode != 0
    assert "no such file or directory" in output


def test_no_installer_of_packages_is_there(image: Image) -> None:
    found = image.python(
        "from importlib.util import find_spec; print([n for n in ('pip', 'ensurepip', 'setuptools', 'uv', 'uv_build') if find_spec(n)])"
    )

    assert found == "[]"


def test_nothing_raises_its_user_or_can_be_changed_by_it(image: Image) -> None:
    folders_for_all = {image.rootfs / "tmp"}
    modes = {path: path.lstat() for path in image.rootfs.rglob("*") if not path.is_symlink()}

    assert [path for path, status in modes.items() if status.st_mode & (stat.S_ISUID | stat.S_ISGID)] == []
    assert {path for path, status in modes.items() if status.st_mode & stat.S_IWOTH} == folders_for_all
    assert {(status.st_uid, status.st_gid) for status in modes.values()} == {(0, 0)}
    assert [path for path in modes if "security.capability" in os.listxattr(path)] == []


def test_the_user_is_known_by_name_and_has_no_right_to_write(image: Image) -> None:
    told = image.python(
        "import os, pwd; print(os.getuid(), os.getgid(), os.getgroups(), pwd.getpwuid(os.getuid()).pw_name, os.access('/opt', os.W_OK))"
    )

    assert told == f"{USER} {USER} [] chatbot False"


def test_the_environment_holds_nothing_of_the_machine_that_built_it(image: Image) -> None:
    assert set(image.environment) - {"IMAGE_VERSION"} == {
        "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE", "PYTHONSAFEPATH", "PYTHONUNBUFFERED", "SSL_CERT_FILE",
    }  # fmt: skip


def test_every_library_can_be_imported(image: Image) -> None:
    with image.running([PYTHON, "-W", "ignore", "-c", IMPORT_EVERYTHING]) as process:
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert int(output) > 40


def test_byte_code_is_valid_whatever_the_times_of_the_files(image: Image) -> None:
    sources = [path for path in image.rootfs.rglob("*.py") if path.stat().st_size]
    compiled = [path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc" for path in sources]

    assert [path for path in compiled if not path.exists()] == []
    assert {path.read_bytes()[4:8] for path in compiled} == {UNCHECKED_HASH}


def test_time_zones_are_those_of_the_system(image: Image) -> None:
    offset = image.python(
        "import zoneinfo, datetime as d; zone = zoneinfo.ZoneInfo('Europe/Berlin');"
        "print(d.datetime(2026, 7, 1, tzinfo=zone).utcoffset(), d.datetime(2026, 1, 1, tzinfo=zone).utcoffset())"
    )

    assert offset == "2:00:00 1:00:00"
    assert (image.rootfs / "usr/share/zoneinfo/Europe/Berlin").exists()


@pytest.mark.parametrize("variable", [BUNDLE, None], ids=["by SSL_CERT_FILE", "by OpenSSL's own paths"])
def test_python_finds_the_bundled_authorities(image: Image, variable: str | None) -> None:
    if variable is None:
        count = image.python(f"import os; del os.environ['SSL_CERT_FILE']; {COUNT_AUTHORITIES}")
    else:
        assert image.environment["SSL_CERT_FILE"] == variable
        count = image.python(COUNT_AUTHORITIES)

    assert int(count) > 100


def test_the_bundle_is_debians_and_not_that_of_the_machine_that_built_it(image: Image) -> None:
    known = (image.rootfs / "var/lib/dpkg/status.d/ca-certificates").read_text()

    assert re.search(r"^Version: \d{8}", known, re.MULTILINE)
    assert (image.rootfs / BUNDLE.lstrip("/")).read_text().count("BEGIN CERTIFICATE") < 200


def test_a_handshake_goes_by_the_bundle(image: Image, relay: Relay, tmp_path: Path) -> None:
    widened = readable(tmp_path / "bundle.crt", (image.rootfs / BUNDLE.lstrip("/")).read_bytes() + relay.authority.read_bytes())

    refused = image.python(HANDSHAKE.format(port=relay.port))
    accepted = image.python(HANDSHAKE.format(port=relay.port), mounts={BUNDLE: widened})

    assert refused == "unable to get local issuer certificate"
    assert accepted == "TLSv1.3"


def test_the_service_starts_chats_over_tls_and_leaves(unpacked: dict[str, Image], relay: Relay, tmp_path: Path) -> None:
    port, admin_port = free_port(), free_port()
    settings = {
        "PORT": str(port),
        "ADMIN_PORT": str(admin_port),
        "ANTHROPIC_API_KEY_FILE": "/etc/chatbot/key",
        "ANTHROPIC_BASE_URL": f"https://127.0.0.1:{relay.port}",
        "ANTHROPIC_CA_FILE": "/etc/chatbot/ca.crt",
        "DRAIN_DELAY": "0s",
    }
    mounts = {"/etc/chatbot": tmp_path}
    readable(tmp_path / "key", b"demo")
    readable(tmp_path / "ca.crt", relay.authority.read_bytes())
    image = unpacked["general-purpose-chatbot"]

    with image.running(image.entrypoint, environment=settings, mounts=mounts) as process:
        live = answer_of(process, port, "/health/live")
        eventually(process, lambda: request(port, "GET", "/health/ready")[0] == http.client.OK)
        chat = request(port, "POST", "/api/chat", {"message": "Hello, how are you?"})
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=60)

    assert json.loads(live)["status"] == "healthy"
    assert chat[0] == http.client.OK, log
    assert json.loads(chat[1])["message"]
    assert process.returncode == 0, log
    assert "HTTP request completed" in log


@pytest.mark.parametrize(("name", "variable"), [("general-purpose-chatbot", "PORT"), ("chatbot-operator", "OPERATOR_HTTP_PORT")])
def test_wrong_settings_are_told_and_end_with_2(unpacked: dict[str, Image], name: str, variable: str) -> None:
    image = unpacked[name]

    with image.running(image.entrypoint, environment={variable: "many"}) as process:
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert variable in output


def test_the_simulator_starts_answers_and_leaves(unpacked: dict[str, Image]) -> None:
    port = free_port()
    image = unpacked["anthropic-simulator"]

    with image.running([*image.entrypoint, "--port", str(port)]) as process:
        answer = answer_of(process, port, "/_simulator/requests")
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=60)

    assert json.loads(answer)["total"] == 0
    assert process.returncode == 0, log


def test_the_simulator_listens_on_every_interface_by_default(unpacked: dict[str, Image]) -> None:
    assert unpacked["anthropic-simulator"].configuration["Cmd"] == ["--host", "0.0.0.0"]


def test_the_operator_starts_waits_for_its_api_server_and_leaves(unpacked: dict[str, Image], tmp_path: Path) -> None:
    port = free_port()
    server = f"http://127.0.0.1:{free_port()}"
    kubeconfig = readable(tmp_path / "kubeconfig", json.dumps(kubeconfig_for(server)).encode())
    image = unpacked["chatbot-operator"]

    with image.running(
        image.entrypoint,
        environment={
            "OPERATOR_HTTP_PORT": str(port),
            "OPERATOR_SERVICE_IMAGE": "general-purpose-chatbot:1",
            "KUBECONFIG": "/etc/kubeconfig",
        },
        mounts={"/etc/kubeconfig": kubeconfig},
    ) as process:
        answer_of(process, port, "/livez")
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=60)

    assert process.returncode == 0, log
    assert "operator started" in log


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory, _session_simulator: Simulator) -> Iterator[Relay]:
    with Relay(tmp_path_factory.mktemp("relay"), _session_simulator.url) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def readable(path: Path, content: bytes) -> Path:
    """Write a file that the image's user can read, in a folder that it can enter."""
    path.write_bytes(content)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def request(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, {"content-type": "application/json"} if content else {})
        response = connection.getresponse()
        return response.status, response.read()


def answer_of(process: subprocess.Popen[str], port: int, path: str) -> bytes:
    """Return the first good answer to a GET."""
    answers: list[bytes] = []

    def answers_well() -> bool:
        try:
            status, body = request(port, "GET", path)
        except OSError:
            return False
        answers.append(body)
        return status == http.client.OK

    eventually(process, answers_well)
    return answers[-1]


def eventually(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fails if the process ends before, or if it takes too long."""
    end = time.monotonic() + START_SECONDS
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"ended with exit code {process.returncode}:\n{process.communicate()[0]}")
        if time.monotonic() > end:
            pytest.fail(f"nothing came of it in {START_SECONDS:.0f} s")
        time.sleep(0.05)


def kubeconfig_for(server: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": "test"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
