import pytest

from chatbot_operator.endpoints import targets
from chatbot_operator.reports import Target
from chatbot_operator.resource import Manifest


def endpoint(uid: str, address: str, **conditions: bool) -> Manifest:
    return {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "uid": uid}}


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([endpoint("a", "10.0.0.1", ready=True)], (Target("a", "10.0.0.1"),)),
        ([endpoint("a", "10.0.0.1", ready=False, serving=False, terminating=False)], (Target("a", "10.0.0.1"),)),
        ([endpoint("a", "10.0.0.1", ready=False, terminating=True)], ()),
        ([endpoint("a", "10.0.0.1"), endpoint("a", "fd00::1")], (Target("a", "10.0.0.1"),)),
        ([{"addresses": ["10.0.0.1"]}], ()),
        (None, ()),
    ],
)
def test_every_pod_that_does_not_terminate_is_asked_once(endpoints: list[Manifest] | None, expected: tuple[Target, ...]) -> None:
    assert targets([{"endpoints": endpoints}]) == expected


def test_address_of_a_pod_is_the_same_whichever_of_its_slices_comes_first() -> None:
    slices = [
        {"addressType": "IPv4", "endpoints": [endpoint("a", "10.0.0.1")]},
        {"addressType": "IPv6", "endpoints": [endpoint("a", "fd00::1")]},
    ]

    assert targets(slices) == targets(reversed(slices)) == (Target("a", "10.0.0.1"),)


def test_what_has_a_name_instead_of_an_address_is_no_pod() -> None:
    assert targets([{"addressType": "FQDN", "endpoints": [endpoint("a", f"{64 * 'x'}.example")]}]) == ()
