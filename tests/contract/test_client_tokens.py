"""The service lets in who shows the token of the Secret that the operator generates."""

from chatbot_operator.desired import desired_secret
from chatbot_service.tokens import parse_tokens
from tests.resources import resource_of


def test_service_reads_the_generated_secret() -> None:
    secret = desired_secret(resource_of({"clientAuth": {"mode": "Token"}}), "the-token")

    assert secret is not None
    assert [parse_tokens(content.encode()) for content in secret["stringData"].values()] == [[b"the-token"]]
