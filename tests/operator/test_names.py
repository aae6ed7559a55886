import re

from hypothesis import given

from chatbot_operator import names
from tests.resources import names_of_resources

CHILD_NAMES = (
    names.deployment,
    names.service,
    names.service_account,
    names.pod_disruption_budget,
    names.network_policy,
    names.prompt_config_map,
    names.ingress,
    names.pod_monitor,
    names.client_token_secret,
)


@given(name=names_of_resources)
def test_child_names_are_dns_labels_of_at_most_63_characters(name: str) -> None:
    for child_name in CHILD_NAMES:
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", child_name(name))


@given(name=names_of_resources)
def test_selector_is_a_part_of_the_labels(name: str) -> None:
    assert names.selector_labels(name).items() <= names.labels(name).items()
    assert names.selector(name).split(",") == [f"{key}={value}" for key, value in sorted(names.selector_labels(name).items())]


def test_every_child_is_found_by_the_owned_selector() -> None:
    key, _, value = names.OWNED_SELECTOR.partition("=")

    assert names.labels("bot")[key] == value
