"""Where the resources and what they own are in the API: some in each namespace, as teams have them.

In one namespace alone the controllers of Kubernetes compare every pod with all its Services and budgets, and are soon all that is measured.
"""

from typing import Final, NamedTuple

_POSITION_DIGITS: Final = 5
_DIGITS_WITHIN: Final = 2


def resource_name(position: int) -> str:
    """Return the name of the resource that is the `position`th, from 0."""
    return f"bot-{position:0{_POSITION_DIGITS}}"


def namespace_of(name: str) -> str:
    """Return the namespace of a resource, which a hundred have."""
    return f"team-{name[-_POSITION_DIGITS:-_DIGITS_WITHIN]}"


class Collection(NamedTuple):
    """The objects of one kind."""

    api: str
    plural: str

    @property
    def path(self) -> str:
        """Return where all of them are."""
        return f"{self.api}/{self.plural}"

    def of(self, name: str) -> str:
        """Return where those are that share a namespace with a resource."""
        return f"{self.api}/namespaces/{namespace_of(name)}/{self.plural}"

    def one(self, name: str) -> str:
        """Return where the resource is, or its child of this kind, which has its name."""
        return f"{self.of(name)}/{name}"


RESOURCES: Final = Collection("/apis/chatbot.dev/v1alpha1", "chatbotdeployments")
DEPLOYMENTS: Final = Collection("/apis/apps/v1", "deployments")
CHILDREN: Final = (
    Collection("/apis/networking.k8s.io/v1", "networkpolicies"),
    Collection("/apis/policy/v1", "poddisruptionbudgets"),
    Collection("/api/v1", "services"),
    Collection("/api/v1", "serviceaccounts"),
    DEPLOYMENTS,
)
"""One of each kind; with the Deployment go its pods."""
