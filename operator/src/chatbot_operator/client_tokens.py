"""Creates the Secret with a token for clients where nobody named one: write-only, since the operator may read no Secret.

It is tried until the resource was Ready once, and when a pod reports that it has no tokens. That it exists already is no failure,
but may be the Secret of an earlier resource of that name, which goes in a moment.
"""

import secrets
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from chatbot_operator import errors
from chatbot_operator.cache import ResourceKey
from chatbot_operator.children import problem_with
from chatbot_operator.cluster import Cluster
from chatbot_operator.desired import desired_secret
from chatbot_operator.observed import Problem
from chatbot_operator.resource import ChatbotDeployment, Manifest
from chatbot_operator.status import is_ready

MISSING_SECONDS = 120.0
"""Between two tries for pods that miss their tokens: kubelet takes up to 90 s to show them a Secret that exists."""
TAKEN_SECONDS = 10.0
"""The same where it existed: what is left of an earlier resource is collected within seconds."""
_TOKEN_BYTES: Final = 32

logger = structlog.get_logger()


class _Try(NamedTuple):
    """For which resource of that name the Secret was tried last, and how that ended."""

    uid: str
    refused: bool
    again_at: float
    """When to try again for pods that miss it."""


class ClientTokens:
    """Remembers for which resources the Secret was tried, and when."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._tried: dict[ResourceKey, _Try] = {}

    def forget(self, key: ResourceKey) -> None:
        """Forget a resource that is gone."""
        self._tried.pop(key, None)

    def again_seconds(self, key: ResourceKey) -> float | None:
        """Return in how many seconds to try again for pods that miss the Secret, None where none was made."""
        tried = self._tried.get(key)
        return max(0.0, tried.again_at - self._clock()) if tried else None

    async def ensure(self, resource: ChatbotDeployment, *, missing: bool) -> Problem | None:
        """Create the Secret if it is time to; `missing` tells that a pod has no tokens. Return why it could not be created."""
        key = ResourceKey(resource.namespace, resource.name)
        if not resource.spec.client_auth.is_generated:
            self.forget(key)
            return None
        if not self._is_due(key, resource, missing=missing):
            return None
        secret = desired_secret(resource, secrets.token_urlsafe(_TOKEN_BYTES))
        return await self._create(key, secret, uid=resource.uid) if secret else None

    async def _create(self, key: ResourceKey, secret: Manifest, *, uid: str) -> Problem | None:
        try:
            created = await self._cluster.create_once(secret)
        except errors.ClusterError as error:
            problem = problem_with(secret, error)
            self._tried[key] = _Try(uid, refused=True, again_at=self._clock() + MISSING_SECONDS)
            return problem
        self._tried[key] = _Try(uid, refused=False, again_at=self._clock() + (MISSING_SECONDS if created else TAKEN_SECONDS))
        if created:
            logger.info("client token created", secret=secret["metadata"]["name"])
        return None

    def _is_due(self, key: ResourceKey, resource: ChatbotDeployment, *, missing: bool) -> bool:
        tried = self._tried.get(key)
        if tried is None or tried.uid != resource.uid:
            return missing or resource.status.get("observedGeneration") != resource.generation or not is_ready(resource.status)
        return tried.refused or (missing and self._clock() >= tried.again_at)
