"""Who comes in, in which order that is decided, and that nothing is read before: through sockets, with every protection on."""

import contextlib
import http.client
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from chatbot_service.admission import Admission
from chatbot_service.app import Routes, create_app
from chatbot_service.errors import RateLimited
from chatbot_service.exchange import Exchange
from chatbot_service.files import SystemPrompt
from chatbot_service.runtime import Runtime
from chatbot_service.settings import Settings
from tests.conftest import Simulator
from tests.service.conftest import Reply, Service, start_service
from tests.service.mounts import MountedSecret

pytestmark = pytest.mark.programs

ORIGIN = "https://chat.example"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type,x-correlation-id"}
TOKENS = [f"token-{number}-canary" for number in range(100)]
LIMIT = 5


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> MountedSecret:
    return MountedSecret(tmp_path_factory.mktemp("tokens"), tokens="\n".join(TOKENS))


@pytest.fixture(scope="module")
def _guarded(_session_simulator: Simulator, secret: MountedSecret) -> Iterator[Service]:
    with start_service(
        _session_simulator,
        CLIENT_AUTH_MODE="Token",
        CLIENT_TOKENS_FILE=str(secret.path("tokens")),
        RATE_LIMIT_PER_CLIENT_RPS=str(LIMIT),
        MAX_IN_FLIGHT="1",
        QUEUE_SIZE="1",
        QUEUE_TIMEOUT="60s",
        REQUEST_TIMEOUT="60s",
        MAX_REQUEST_SIZE="1000",
        TRUSTED_PROXIES="127.0.0.0/8",
        CORS_ALLOWED_ORIGINS=f"{ORIGIN},https://other.example",
    ) as service:
        yield service


@pytest.fixture
def guarded(_guarded: Service, simulator: Simulator) -> Service:
    """A service with tokens, limits for each client, one slot and one place in the queue."""
    return _guarded


_numbers = count()


@pytest.fixture
def token() -> str:
    """A token that no other test has used up."""
    return TOKENS[next(_numbers)]


def shown(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def head_alone(service: Service, **headers: str) -> Reply:
    """Announce a body, send none of it, and return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/api/chat")
        for name, value in {"content-type": "application/json", "content-length": "20", "origin": ORIGIN, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def use_up(service: Service, token: str) -> None:
    """Send requests of one client until it has sent too many; each ends at once, in a 415."""
    for _ in range(200):
        if service.request("POST", "/api/chat", headers=shown(token)).status == 429:
            return
    pytest.fail("200 requests in a row are no more than 5 a second")


def metric(service: Service, sample: str) -> float:
    text = service.request("GET", "/metrics", admin=True).body.decode()
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(sample)), 0.0)


def test_a_known_token_is_let_in_in_either_header(guarded: Service, token: str) -> None:
    assert guarded.chat(headers=shown(token)).status == 200
    assert guarded.chat(headers={"x-api-key": token}).status == 200


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"x-api-key": "wrong"}, {"authorization": "Basic d3Jvbmc="}], ids=str
)
def test_without_one_nothing_is_read(guarded: Service, headers: dict[str, str]) -> None:
    reply = head_alone(guarded, **headers)

    assert (reply.status, reply.json["code"], reply.headers["www-authenticate"]) == (401, "unauthorized", "Bearer")
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["access-control-allow-origin"] == ORIGIN


def test_the_token_comes_before_the_limit(guarded: Service) -> None:
    statuses = {guarded.request("POST", "/api/chat", headers=shown("wrong")).status for _ in range(3 * LIMIT)}

    assert statuses == {401}


def test_the_limit_comes_before_the_body(guarded: Service, token: str) -> None:
    before = metric(guarded, 'chatbot_requests_rate_limited_total{scope="client"}')
    use_up(guarded, token)

    reply = head_alone(guarded, **shown(token))

    assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (429, "rate_limited", "1")
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert metric(guarded, 'chatbot_requests_rate_limited_total{scope="client"}') == before + 2


def test_one_client_over_its_limit_leaves_the_others_alone(guarded: Service, token: str) -> None:
    use_up(guarded, token)

    assert guarded.chat(headers=shown(TOKENS[-1])).status == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(guarded: Service, token: str) -> None:
    reply = head_alone(guarded, **shown(token), **{"content-length": "1001"})

    assert (reply.status, reply.json["code"]) == (413, "body_too_large")
    assert reply.headers["access-control-allow-origin"] == ORIGIN


def test_probes_and_what_the_router_refuses_need_no_token_and_have_no_limit(guarded: Service) -> None:
    for path, status in (("/health", 200), ("/health/live", 200), ("/health/ready", 200), ("/nothing", 404), ("/api/chat", 405)):
        assert {guarded.request("GET", path).status for _ in range(2 * LIMIT)} == {status}


def test_a_full_queue_is_told_at_once_and_starves_neither_probes_nor_the_admin_port(
    guarded: Service, simulator: Simulator, token: str
) -> None:
    before = metric(guarded, 'chatbot_requests_shed_total{reason="queue_full"}')
    simulator.behave(pace="30s", events=5)
    with guarded.open_chat(stream=True, token=token) as served:
        guarded.wait_until(lambda: guarded.report()["inFlight"] == 1)
        simulator.wait_until(lambda counts: counts["open"] == 1)
        simulator.behave()
        with guarded.open_chat(token=token) as queued:
            guarded.wait_until(lambda: metric(guarded, "chatbot_requests_queued") == 1)

            reply = head_alone(guarded, **shown(token))

            assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, "busy", "1")
            assert reply.headers["access-control-allow-origin"] == ORIGIN
            assert metric(guarded, 'chatbot_requests_shed_total{reason="queue_full"}') == before + 1
            assert guarded.request("GET", "/health/ready").status == 200
            assert guarded.request("GET", "/health/ready", admin=True).status == 200
            assert head_alone(guarded).status == 401

            served.close()
            assert queued.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_a_preflight_needs_no_token(guarded: Service) -> None:
    for origin in (ORIGIN, "https://other.example"):
        reply = guarded.request("OPTIONS", "/api/chat", headers={"origin": origin, **PREFLIGHT})

        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, origin)
        assert "POST" in reply.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in reply.headers
        assert reply.headers["access-control-max-age"] == "3600"


def test_a_page_of_an_allowed_origin_can_read_its_answer(guarded: Service, token: str) -> None:
    reply = guarded.chat(headers={"origin": ORIGIN, **shown(token)})

    assert (reply.status, reply.headers["access-control-allow-origin"], reply.headers["vary"]) == (200, ORIGIN, "Origin")
    assert reply.headers["access-control-expose-headers"] == "X-Correlation-ID, Retry-After"
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{ORIGIN}.evil.example", "http://chat.example", "HTTPS://CHAT.EXAMPLE"]
)
def test_no_other_origin_is_allowed(guarded: Service, origin: str) -> None:
    assert guarded.request("OPTIONS", "/api/chat", headers={"origin": origin, **PREFLIGHT}).status == 400
    assert "access-control-allow-origin" not in guarded.request("GET", "/health", headers={"origin": origin}).headers


def test_without_origins_there_is_no_cors(service: Service) -> None:
    assert service.request("OPTIONS", "/api/chat", headers={"origin": ORIGIN, **PREFLIGHT}).status == 405
    assert not [name for name in service.request("GET", "/health", headers={"origin": ORIGIN}).headers if name.startswith("access-")]


def test_tokens_follow_their_secret_and_the_report_says_whether_there_are_any(guarded: Service, secret: MountedSecret) -> None:
    assert guarded.report()["clientTokens"] == "Loaded"
    assert guarded.request("POST", "/api/chat", headers=shown("new")).status == 401

    secret.swap(tokens="\n".join([*TOKENS, "new"]))
    guarded.wait_until(lambda: guarded.request("POST", "/api/chat", headers=shown("new")).status == 415)

    secret.swap()
    guarded.wait_until(lambda: guarded.report()["clientTokens"] == "Missing")
    assert guarded.request("POST", "/api/chat", headers=shown("new")).status == 401

    secret.swap(tokens="\n".join(TOKENS))
    guarded.wait_until(lambda: guarded.report()["clientTokens"] == "Loaded")


def test_no_token_is_logged(guarded: Service, token: str) -> None:
    guarded.chat(headers={**shown(token), "x-correlation-id": "canary-1"})
    guarded.request("POST", "/api/chat", headers={**shown(f"{token}-wrong"), "x-correlation-id": "canary-2"})
    guarded.wait_for_log("HTTP request completed", correlation_id="canary-2", http_status=401)

    assert "canary" not in guarded.output().replace("canary-1", "").replace("canary-2", "")


def test_the_log_names_the_address_behind_trusted_proxies(guarded: Service) -> None:
    forwarded = {"x-forwarded-for": "6.6.6.6, 1.2.3.4, 127.0.0.5", "x-correlation-id": "address-1"}

    guarded.request("GET", "/health", headers=forwarded)

    assert guarded.wait_for_log("HTTP request completed", correlation_id="address-1")["client_ip"] == "1.2.3.4"


@pytest.mark.parametrize(
    ("first", "second", "one_client"),
    [
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "1.2.3.5", False),
        ("2001:db8:1:2::3", "2001:db8:1:2::4", True),
        ("2001:db8:1:2::3", "2001:db8:1:3::3", False),
    ],
)
async def test_without_tokens_a_client_is_its_address_or_its_64(first: str, second: str, *, one_client: bool) -> None:
    served = await _served((first, second), RATE_LIMIT_PER_CLIENT_RPS="1")

    assert served == ([first] if one_client else [first, second])


async def test_limits_that_are_switched_off_refuse_nobody() -> None:
    served = await _served(("1.2.3.4",) * 10, RATE_LIMIT_ENABLED="false", RATE_LIMIT_RPS="1", RATE_LIMIT_PER_CLIENT_RPS="1")

    assert len(served) == 10


async def _served(addresses: Sequence[str], **variables: str) -> list[str]:
    """Return the addresses whose requests were served, sent one after the other."""
    served: list[str] = []

    async def api(scope: Scope, _receive: Receive, _send: Send) -> None:
        served.append(Exchange.of(scope).client_ip)

    admission = Admission(api, runtime=Runtime.create(Settings.from_environment(variables), SystemPrompt(None)))
    for address in addresses:
        scope: Scope = {"type": "http"}
        Exchange("id", address).attach(scope)
        with contextlib.suppress(RateLimited):
            await admission(scope, _nothing, _nothing)
    return served


async def _nothing(*_: object) -> Any:
    raise AssertionError


def test_nothing_but_probes_is_served_without_admission() -> None:
    settings = Settings.from_environment({"CORS_ALLOWED_ORIGINS": ORIGIN})
    app: object = create_app(Runtime.create(settings, SystemPrompt(None)))
    while not isinstance(app, Routes):
        app = vars(app).get("_app") or vars(app)["app"]

    unguarded = [route.path for route in app.routes if not isinstance(route.app, Admission)]

    assert unguarded == ["/health", "/health/live", "/health/ready"]
