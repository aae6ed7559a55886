import pytest

from chatbot_service.cors import Origins
from tests.conftest import Simulator
from tests.service.conftest import start_service

ONE, OTHER = "https://one.example", "https://other.example"


@pytest.mark.parametrize(
    ("allowed", "origin", "expected"),
    [
        ([], None, {}),
        ([], ONE, {}),
        ([ONE, OTHER], None, {"vary": "Origin"}),
        ([ONE, OTHER], ONE, {"vary": "Origin", "access-control-allow-origin": ONE}),
        ([ONE, OTHER], OTHER, {"vary": "Origin", "access-control-allow-origin": OTHER}),
        ([ONE, OTHER], "*", {"vary": "Origin"}),
        ([ONE, OTHER], "https://third.example", {"vary": "Origin"}),
        (["*"], None, {"vary": "Origin"}),
        (["*"], ONE, {"vary": "Origin", "access-control-allow-origin": "*"}),
        (["*"], "*", {"vary": "Origin", "access-control-allow-origin": "*"}),
    ],
)
def test_an_answer_says_which_pages_may_read_it(allowed: list[str], origin: str | None, expected: dict[str, str]) -> None:
    origins = Origins(allowed, always={b"x-always": b"there"})

    found = origins.fields_for(origin.encode() if origin is not None else None)

    fields = {name.decode(): value.decode() for name, value in found.items()}
    assert fields.pop("x-always") == "there"
    exposed = fields.pop("access-control-expose-headers", None)
    assert fields == expected
    assert (exposed is not None) == ("access-control-allow-origin" in expected)


@pytest.mark.programs
@pytest.mark.parametrize(("allowed", "shown"), [("*", "*"), (f"{OTHER},{ONE}", ONE)])
def test_every_answer_has_each_field_once(simulator: Simulator, allowed: str, shown: str) -> None:
    asked = {"origin": ONE, "access-control-request-method": "POST"}
    with start_service(simulator, CORS_ALLOWED_ORIGINS=allowed) as service:
        preflight = service.request("OPTIONS", "/api/chat", headers=asked)
        answers = [service.chat(headers={"origin": ONE}), service.chat(stream=True, headers={"origin": ONE})]
        errors = [
            service.request("GET", "/nothing", headers={"origin": ONE}),
            service.request("OPTIONS", "/api/chat", headers={"origin": ONE}),
        ]

    assert (preflight.status, [reply.status for reply in answers + errors]) == (200, [200, 200, 404, 405])
    for reply in (preflight, *answers, *errors):  # of a header that comes twice the client makes one, with a comma
        assert reply.headers["access-control-allow-origin"] == shown
        assert reply.headers["vary"].split(", ").count("Origin") == 1
