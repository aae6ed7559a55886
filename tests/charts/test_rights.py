"""What the operator's chart grants: to the operator, in all namespaces or in those that are listed, and to the cluster's own roles."""

import pytest

from tests.charts.rendering import NAMESPACE, OPERATOR, Manifest, environment, of_kind, one, pod, render

pytestmark = pytest.mark.programs

LISTED = "--set=watchNamespaces={team-a,team-b}"
WITHOUT_CLUSTER_RIGHTS = "--set=crds.create=false,rbac.aggregateRoles=false,admission.enabled=false"
AGGREGATED = "rbac.authorization.k8s.io/aggregate-to-"


def rules(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [rule for manifest in of_kind(manifests, *kinds) for rule in manifest["rules"]]


@pytest.mark.parametrize("options", [(), (LISTED,)])
def test_no_role_reads_secrets_or_uses_wildcards(options: tuple[str, ...]) -> None:
    granted = rules(render(OPERATOR, *options), "Role", "ClusterRole")

    assert all("*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]} for rule in granted), granted
    assert {verb for rule in granted if "secrets" in rule["resources"] for verb in rule["verbs"]} == {"create"}


def test_lease_of_the_role_is_the_lease_of_the_operator() -> None:
    manifests = render(OPERATOR, release="other")

    named = [name for rule in one(manifests, "Role")["rules"] for name in rule.get("resourceNames", ())]
    assert named == [environment(manifests)["OPERATOR_LEASE_NAME"]] == ["other-chatbot-operator"]


def test_listed_namespaces_come_with_the_same_rights_in_roles_alone() -> None:
    everywhere, listed = render(OPERATOR), render(OPERATOR, LISTED)

    roles = {role["metadata"]["namespace"]: role for role in of_kind(listed, "Role")}
    operator = [role for role in of_kind(everywhere, "ClusterRole") if role["metadata"]["name"] == OPERATOR]
    assert roles.keys() == {"team-a", "team-b", NAMESPACE}
    assert [roles["team-a"]["rules"], roles["team-b"]["rules"]] == [operator[0]["rules"]] * 2
    assert not of_kind(listed, "ClusterRoleBinding")
    assert not [role for role in of_kind(listed, "ClusterRole") if role["metadata"]["name"] == OPERATOR]
    assert environment(listed)["OPERATOR_WATCH_NAMESPACES"] == "team-a,team-b"
    assert "OPERATOR_WATCH_NAMESPACES" not in environment(everywhere)


def test_every_role_is_bound_to_the_operator_s_account_in_its_namespace() -> None:
    manifests = render(OPERATOR, LISTED)

    roles = {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in of_kind(manifests, "Role")}
    bound = {(binding["metadata"]["namespace"], binding["roleRef"]["name"]) for binding in of_kind(manifests, "RoleBinding")}
    subjects = [binding["subjects"] for binding in of_kind(manifests, "RoleBinding")]
    account = {"kind": "ServiceAccount", "name": pod(manifests)["serviceAccountName"], "namespace": NAMESPACE}
    assert bound == roles
    assert subjects == [[account]] * 3


def test_namespace_of_the_release_can_be_among_those_that_are_listed() -> None:
    manifests = render(OPERATOR, f"--set=watchNamespaces={{{NAMESPACE}}}")

    assert [role["metadata"]["name"] for role in of_kind(manifests, "Role")] == ["chatbot-operator-chatbots", "chatbot-operator"]


def test_owner_of_some_namespaces_needs_no_right_beyond_them() -> None:
    manifests = render(OPERATOR, LISTED, WITHOUT_CLUSTER_RIGHTS)

    assert all("namespace" in manifest["metadata"] for manifest in manifests)


def test_other_rules_know_of_the_listed_namespaces() -> None:
    manifests = render(OPERATOR, LISTED)

    listed = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}
    constraints = one(manifests, "ValidatingAdmissionPolicy")["spec"]["matchConstraints"]
    assert constraints["namespaceSelector"] == {"matchExpressions": [listed]}
    reports = one(manifests, "NetworkPolicy")["spec"]["egress"][2]["to"]
    assert [peer["namespaceSelector"] for peer in reports] == [{"matchExpressions": [listed]}]


def test_view_and_edit_of_the_cluster_are_told_of_chatbots() -> None:
    roles = {role["metadata"]["name"]: role for role in of_kind(render(OPERATOR), "ClusterRole")}
    view, edit = roles["chatbot-operator-view"], roles["chatbot-operator-edit"]

    def aggregated_to(role: Manifest) -> set[str]:
        return {label.removeprefix(AGGREGATED) for label in role["metadata"]["labels"] if label.startswith(AGGREGATED)}

    assert aggregated_to(view) == {"view", "edit", "admin"}
    assert aggregated_to(edit) == {"edit", "admin"}
    assert {verb for rule in view["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert not [rule for rule in edit["rules"] if "chatbotdeployments/status" in rule["resources"]]


def test_account_and_roles_can_come_from_elsewhere() -> None:
    manifests = render(OPERATOR, "--set=rbac.create=false,rbac.aggregateRoles=false,serviceAccount.create=false,serviceAccount.name=my.own")

    assert not of_kind(manifests, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount")
    assert pod(manifests)["serviceAccountName"] == "my.own"


def test_policy_refuses_what_it_cannot_judge() -> None:
    manifests = render(OPERATOR)

    policy, binding = one(manifests, "ValidatingAdmissionPolicy"), one(manifests, "ValidatingAdmissionPolicyBinding")["spec"]
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_policy_allows_anthropic_services_and_the_image_that_is_installed_by_default() -> None:
    manifests = render(OPERATOR, "--set=serviceImage.repository=registry.example.com/chatbot")

    policy = one(manifests, "ValidatingAdmissionPolicy")["spec"]
    lists = {variable["name"]: variable["expression"] for variable in policy["variables"]}
    assert lists["allowedBaseURLs"] == '["https://api.anthropic.com","*.svc","*.svc.cluster.local"]'
    assert lists["allowedImages"] == '["registry.example.com/chatbot"]'
    assert "!(request.userInfo.username in [])" in [condition["expression"] for condition in policy["matchConditions"]]


def test_policy_can_be_left_out() -> None:
    assert not of_kind(render(OPERATOR, "--set=admission.enabled=false"), "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
