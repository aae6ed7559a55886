"""Creates the Secret with a token for clients where nobody named one: write-only, since the operator may read no Secret.

It is tried when a generation is new, and when a pod reports that it has no tokens; that it exists already is no failure.
"""

import secrets
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from chatbot_operator import errors
from chatbot_operator.cache import ResourceKey
from chatbot_operator.children import refusal
from chatbot_operator.cluster import Cluster
from chatbot_operator.desired import desired_secret
from chatbot_operator.observed import Problem
from chatbot_operator.resource import ChatbotDeployment

MISSING_SECONDS = 120.0
"""Between two tries for pods that miss their tokens: kubelet takes up to 90 s to show them a Secret that exists."""
_TOKEN_BYTES: Final = 32

logger = structlog.get_logger()


class _Try(NamedTuple):
    """For which resource of that name the Secret was tried last, and when."""

    uid: str
    at: float


class ClientTokens:
    """Remembers for which resources the Secret was tried, and when."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._tried: dict[ResourceKey, _Try] = {}

    def forget(self, key: ResourceKey) -> None:
        """Forget a resource that is gone."""
        self._tried.pop(key, None)

    async def ensure(self, resource: ChatbotDeployment, *, missing: bool) -> Problem | None:
        """Create the Secret if it is time to; `missing` tells that a pod has no tokens. Return why it could not be created."""
        if not self._is_due(resource, missing=missing):
            return None
        secret = desired_secret(resource, secrets.token_urlsafe(_TOKEN_BYTES))
        if secret is None:
            return None
        try:
            created = await self._cluster.create_once(secret)
        except (errors.RequestRefused, errors.WebhookUnavailable) as error:
            return refusal(secret, error)
        self._tried[ResourceKey(resource.namespace, resource.name)] = _Try(resource.uid, self._clock())
        if created:
            logger.info("client token created", secret=secret["metadata"]["name"])
        return None

    def _is_due(self, resource: ChatbotDeployment, *, missing: bool) -> bool:
        if resource.spec.client_auth.mode == "None":
            return False
        tried = self._tried.get(ResourceKey(resource.namespace, resource.name))
        if tried is None or tried.uid != resource.uid:
            return missing or resource.status.get("observedGeneration") != resource.generation
        return missing and self._clock() - tried.at >= MISSING_SECONDS
