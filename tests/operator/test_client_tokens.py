import pytest
from hypothesis import given

from chatbot_operator import names
from chatbot_operator.desired import desired_secret, desired_state
from chatbot_operator.resource import ChatbotDeployment
from tests.resources import SETTINGS, UID, resource_of, resources

TOKEN = "t0ken-" + "x" * 40


def test_generated_secret_holds_the_token_where_the_pods_look_for_it() -> None:
    secret = desired_secret(resource_of({"clientAuth": {"mode": "Token"}}), TOKEN)

    assert secret is not None
    assert (secret["kind"], secret["metadata"]["name"], secret["metadata"]["namespace"]) == ("Secret", "bot-client-token", "demo")
    assert secret["stringData"] == {"tokens": f"{TOKEN}\n"}


def test_generated_secret_goes_with_the_resource_and_is_never_compared() -> None:
    secret = desired_secret(resource_of({"clientAuth": {"mode": "Token"}}), TOKEN)

    assert secret is not None
    assert secret["metadata"]["ownerReferences"][0]["uid"] == UID
    assert names.INTENT_ANNOTATION not in secret["metadata"]["annotations"]


@pytest.mark.parametrize("client_auth", [{}, {"mode": "None"}, {"mode": "Token", "secretRef": {"name": "team-a-tokens"}}], ids=str)
def test_nothing_is_generated_where_nobody_asks_for_it(client_auth: dict[str, object]) -> None:
    assert desired_secret(resource_of({"clientAuth": client_auth}), TOKEN) is None


@given(resource=resources)
def test_no_child_is_a_secret(resource: ChatbotDeployment) -> None:
    assert "Secret" not in {child["kind"] for child in desired_state(resource, SETTINGS, 3)}
