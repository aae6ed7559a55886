"""The health of all pods as one value, merged from their reports. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from chatbot_operator import traffic
from chatbot_operator.pod_report import PodReport, Window
from chatbot_operator.resource import BreakerState, CredentialsState, ModelState
from chatbot_operator.traffic import Histogram, Traffic

ROTATION_SECONDS = 180
"""How far apart pods take up the same new key: kubelet renews mounted Secrets every 60 to 90 s."""


@dataclass(frozen=True, slots=True)
class PodHealth:
    """What the status needs of one report: nothing that changes with every request, so that equal health means nothing to do."""

    uid: str
    template_hash: str
    credentials: CredentialsState
    key_changed_at: datetime | None
    model: ModelState
    deprecated: bool
    days_to_retirement: int | None
    breaker: BreakerState
    last_error_type: str | None
    client_tokens_missing: bool
    serving: bool

    @property
    def undecided(self) -> bool:
        """Tell whether it is still checking its key for the first time and takes no traffic until it knows."""
        return not self.serving and self.credentials is CredentialsState.UNVERIFIED


@dataclass(frozen=True)
class Figures:
    """What the pods counted: traffic by revision (the hash of the pod template) and window, tokens, and the requests of this moment."""

    traffic: Mapping[tuple[str, str], Traffic] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    in_flight: int = 0


@dataclass(frozen=True)
class FleetHealth:
    """What all reports say together; `expected` is how many pods should have reported, `pods` is by uid."""

    expected: int = 0
    pods: Mapping[str, PodHealth] = field(default_factory=dict)
    rotated_at: datetime | None = None
    """When a pod last took up another key than it had."""
    figures: Figures = field(default=Figures(), compare=False)
    """Left out of comparisons: that there was traffic is nothing to act upon at once."""

    @property
    def is_well(self) -> bool:
        """Tell whether every pod reported that all is well: asked again at once, it would say the same."""
        return len(self.pods) == self.expected and all(
            pod.serving
            and (pod.credentials, pod.model, pod.breaker) == (CredentialsState.ACCEPTED, ModelState.AVAILABLE, BreakerState.CLOSED)
            for pod in self.pods.values()
        )

    @property
    def client_tokens_missing(self) -> bool:
        """Tell whether a pod wants client tokens and has none."""
        return any(pod.client_tokens_missing for pod in self.pods.values())

    @property
    def revisions(self) -> frozenset[str]:
        """Return the hashes of the pod templates that the pods are of."""
        return frozenset(pod.template_hash for pod in self.pods.values())

    def breakers(self) -> Counter[BreakerState]:
        """Return how many pods have the breaker of their model in which state."""
        return Counter(pod.breaker for pod in self.pods.values())

    def worst_breaker(self) -> BreakerState | None:
        """Return the state that is the worst of all pods', or None without a report."""
        counts = self.breakers()
        return next((state for state in (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED) if counts[state]), None)

    def last_error_type(self) -> str | None:
        """Return the error type that most pods saw last; of several, the first by name, so that the answer is stable."""
        counts = Counter(pod.last_error_type for pod in self.pods.values() if pod.last_error_type)
        return min(counts, key=lambda name: (-counts[name], name), default=None)

    def of_revision(self, template_hash: str) -> tuple[PodHealth, ...]:
        """Return the health of the pods of one revision, as far as they reported."""
        return tuple(pod for pod in self.pods.values() if pod.template_hash == template_hash)

    def with_current_key(self) -> int:
        """Return how many pods use the key that the Secret holds: accepted, and taken up again since the last rotation."""
        return sum(pod.credentials is CredentialsState.ACCEPTED and not self._is_behind(pod) for pod in self.pods.values())

    def _is_behind(self, pod: PodHealth) -> bool:
        if self.rotated_at is None or pod.key_changed_at is None:
            return False
        return self.rotated_at - pod.key_changed_at > timedelta(seconds=ROTATION_SECONDS)


def merge(reports: Sequence[PodReport], *, expected: int, before: FleetHealth | None = None) -> FleetHealth:
    """Return the health of the fleet; of two reports of one pod the later in the sequence counts.

    `before` is what was known: a pod that was known with another key tells of a rotation, one that is new does not.
    """
    by_uid = {report.pod.uid: report for report in reports}
    pods = {uid: _health(report) for uid, report in by_uid.items()}
    return FleetHealth(expected=expected, pods=pods, rotated_at=_rotated_at(pods, before), figures=_figures(by_uid.values()))


def worst_credentials(pods: Iterable[PodHealth]) -> CredentialsState | None:
    """Return the state of the key that asks most for attention, or None without a report."""
    states = {pod.credentials for pod in pods}
    return next((state for state in _CREDENTIALS_WORST_FIRST if state in states), None)


def worst_model(pods: Iterable[PodHealth]) -> ModelState | None:
    """Return the state of the model that asks most for attention, or None without a report."""
    states = {pod.model for pod in pods}
    return next((state for state in _MODEL_WORST_FIRST if state in states), None)


_SERVING: Final = frozenset({"ready", "degraded"})
_DEPRECATED: Final = "deprecated"
_TOKENS_MISSING: Final = "Missing"
_CREDENTIALS_WORST_FIRST: Final = (
    CredentialsState.REJECTED,
    CredentialsState.MISSING,
    CredentialsState.UNVERIFIED,
    CredentialsState.ACCEPTED,
)
_MODEL_WORST_FIRST: Final = (ModelState.RETIRED, ModelState.NOT_FOUND, ModelState.UNVERIFIED, ModelState.AVAILABLE)


def _health(report: PodReport) -> PodHealth:
    """Return the part of a report that the status needs; a breaker that the report does not name never tripped."""
    breaker = report.breaker.get(report.model.name)
    return PodHealth(
        uid=report.pod.uid,
        template_hash=report.pod.template_hash,
        credentials=report.credentials.state,
        key_changed_at=_moment(report.credentials.fingerprint_changed_at),
        model=report.model.state,
        deprecated=report.model.lifecycle == _DEPRECATED,
        days_to_retirement=report.model.days_to_retirement,
        breaker=breaker.state if breaker else BreakerState.CLOSED,
        last_error_type=report.last_error_type,
        client_tokens_missing=report.client_tokens == _TOKENS_MISSING,
        serving=report.state in _SERVING,
    )


def _moment(text: str | None) -> datetime | None:
    """Return the moment that a pod names, None when it is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rotated_at(pods: Mapping[str, PodHealth], before: FleetHealth | None) -> datetime | None:
    if before is None:
        return None
    known = {uid: pod.key_changed_at for uid, pod in before.pods.items()}
    changed = (pod.key_changed_at for uid, pod in pods.items() if known.get(uid) not in (None, pod.key_changed_at))
    return max((moment for moment in (*changed, before.rotated_at) if moment), default=None)


def _figures(reports: Iterable[PodReport]) -> Figures:
    parts: dict[tuple[str, str], list[Traffic]] = {}
    tokens_in = tokens_out = in_flight = 0
    for report in reports:
        tokens_in, tokens_out, in_flight = tokens_in + report.tokens.input, tokens_out + report.tokens.output, in_flight + report.in_flight
        for name, window in report.windows.items():
            parts.setdefault((report.pod.template_hash, name), []).append(_traffic(window))
    return Figures({key: traffic.add(found) for key, found in parts.items()}, tokens_in, tokens_out, in_flight)


def _traffic(window: Window) -> Traffic:
    latency, first_token = window.latency_ms, window.first_token_ms
    return Traffic(
        requests=window.requests,
        errors=window.errors,
        latency=Histogram(latency.bounds, latency.counts),
        first_token=Histogram(first_token.bounds, first_token.counts),
    )
