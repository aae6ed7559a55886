"""What Helm says after an installation: what to do next, and a warning of what is likely not meant."""

import pytest

from tests.charts.rendering import CHATBOT, OPERATOR, notes

pytestmark = pytest.mark.programs


def warnings(chart: str, *values: str) -> list[str]:
    """Return the warnings, without the word."""
    said = notes(chart, *(f"--set={value}" for value in values))
    return [line.removeprefix("WARNING: ") for line in said.splitlines() if line.startswith("WARNING: ")]


@pytest.mark.parametrize("chart", [OPERATOR, CHATBOT])
def test_defaults_need_no_warning(chart: str) -> None:
    assert warnings(chart) == []


@pytest.mark.parametrize(
    ("value", "warning"),
    [
        ("replicaCount=0", "replicaCount is 0"),
        ("replicaCount=1", "replicaCount is 1"),
        ("podDisruptionBudget.maxUnavailable=0", "podDisruptionBudget.maxUnavailable is 0: the budget blocks every drain"),
        ("podDisruptionBudget.maxUnavailable=0%", "podDisruptionBudget.maxUnavailable is 0%: the budget blocks every drain"),
        ("podDisruptionBudget.minAvailable=2", "podDisruptionBudget.minAvailable (2) leaves none of 2 replicas"),
        ("podDisruptionBudget.minAvailable=51%", "podDisruptionBudget.minAvailable (51%) leaves none of 2 replicas"),
        ("admission.enabled=false", "admission.enabled is false"),
        ("crds.keep=false", "crds.keep is false: uninstalling this release, or upgrading it with crds.create=false, deletes"),
        ("monitoring.rules.enabled=true", "monitoring.rules.enabled without monitoring.serviceMonitor.enabled"),
        ("monitoring.rules.enabled=true", "monitoring.rules.runbookBaseURL is empty"),
    ],
)
def test_operator_s_notes_warn(value: str, warning: str) -> None:
    assert [line for line in warnings(OPERATOR, value) if line.startswith(warning)]


@pytest.mark.parametrize(
    "values",
    [
        ("podDisruptionBudget.minAvailable=50%",),
        ("podDisruptionBudget.minAvailable=1",),
        ("podDisruptionBudget.maxUnavailable=1%",),
        ("replicaCount=3", "podDisruptionBudget.minAvailable=2"),
        ("podDisruptionBudget.enabled=false", "podDisruptionBudget.maxUnavailable=0"),
    ],
)
def test_budget_that_lets_a_node_be_drained_is_no_matter(values: tuple[str, ...]) -> None:
    assert warnings(OPERATOR, *values) == []


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        (("replicas=0",), "replicas is 0: the service is stopped"),
        (("replicas=1",), "replicas is 1"),
        (("podDisruptionBudget.enabled=false", "replicas=3"), "podDisruptionBudget.enabled is false"),
        (("podDisruptionBudget.enabled=false",), "podDisruptionBudget.enabled is false"),
        (("podDisruptionBudget.enabled=false", "autoscaling.enabled=true"), "podDisruptionBudget.enabled is false"),
        (("autoscaling.enabled=true", "autoscaling.minReplicas=1"), "autoscaling.minReplicas is 1"),
        (("autoscaling.enabled=true", "replicas=3"), "replicas and autoscaling.enabled are both set"),
        (
            ("upstream.baseURL=http://anthropic-simulator.demo.svc:8000",),
            "upstream.baseURL is http://anthropic-simulator.demo.svc:8000: a simulator",
        ),
    ],
)
def test_chatbot_s_notes_warn(values: tuple[str, ...], warning: str) -> None:
    assert [line for line in warnings(CHATBOT, *values) if line.startswith(warning)]


def test_notes_say_what_an_uninstall_leaves() -> None:
    assert "stay when this release is uninstalled" in notes(OPERATOR)
    assert "A release of another name or in another\nnamespace takes the definition over" in notes(OPERATOR)
    assert "stay when this release is uninstalled" not in notes(OPERATOR, "--set=crds.keep=false")


def test_notes_name_the_secret_that_the_values_name() -> None:
    said = notes(CHATBOT, "--set=credentials.secretRef.name=mine,credentials.secretRef.key=api-key")

    assert "kubectl create secret generic mine --namespace=team --from-file=api-key=/dev/stdin" in said


def test_notes_tell_which_namespaces_are_looked_after() -> None:
    assert "looks after the namespaces team-a, team-b alone" in notes(OPERATOR, "--set=watchNamespaces={team-a,team-b}")


def test_notes_give_the_test_an_image_where_the_values_name_none() -> None:
    assert "helm upgrade chatbot CHART --namespace=team --reuse-values --set=test.image=" in notes(CHATBOT)
    assert "kubectl get chatbot/chatbot --namespace=team --output=jsonpath='{.status.image}'" in notes(CHATBOT)


@pytest.mark.parametrize("option", ["image=registry.example.com/chat:1", "test.image=registry.example.com/chat:1", "test.enabled=false"])
def test_notes_need_no_image_for_the_test_that_has_one_or_is_left_out(option: str) -> None:
    said = notes(CHATBOT, f"--set={option}")

    assert "--set=test.image=" not in said
    assert ("helm test chatbot --namespace=team" in said) is (option != "test.enabled=false")
