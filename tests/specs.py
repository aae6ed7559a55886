"""Specs that the API server accepts: any one by hypothesis, every rule across fields kept (`specs`), and one with every field."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args, get_origin

import yaml
from hypothesis import strategies as st

from chatbot_operator.resource import Model
from tests.spec_values import (
    Fields,
    addresses,
    affinities,
    annotations,
    base_urls,
    data_keys,
    duration_text,
    durations,
    hosts,
    labels,
    model_names,
    named,
    networks,
    object_names,
    optional,
    peers,
    percentages,
    ports,
    prompts,
    tolerations,
    variables,
)

EVERY_FIELD: Fields = yaml.safe_load((Path(__file__).parent / "golden" / "every_field.yaml").read_text())
"""Every field is set, systemPrompt in place of systemPromptFrom."""

_DEFAULT_TIMEOUTS = {"connect": 5_000, "firstByte": 15_000, "requestTimeout": 30_000, "total": 600_000, "idle": 60_000}
_DEFAULT_BACKOFFS = {"initialBackoff": 1_000, "maxBackoff": 10_000}
_DEFAULT_DRAIN = {"delay": 5_000, "timeout": 300_000}
_DEFAULT_BOUNDS = {"minReplicas": 2, "maxReplicas": 10}
_DEFAULT_SHARES = {"maxSurge": 1, "maxUnavailable": 0}
_HOUR = 3_600_000


@st.composite
def _with_defaults_left_out(draw: st.DrawFn, whole: st.SearchStrategy[Fields], defaults: Fields, holds: Callable[[Fields], bool]) -> Fields:
    """Return some of the fields of `whole`, such that what is left out has a default for which `holds` is true as well."""
    fields = draw(whole)
    for name, default in defaults.items():
        with_default = {key: value for key, value in fields.items() if key != name}
        if draw(st.booleans()) and holds({**defaults, **with_default, name: default}):
            fields = with_default
    return fields


def _in_order(timeouts: Fields) -> bool:
    chain = [timeouts[name] for name in ("connect", "firstByte", "requestTimeout", "total")]
    return chain == sorted(chain) and bool(timeouts["idle"] <= timeouts["total"])


_ordered_timeouts = st.lists(st.integers(1, _HOUR), min_size=4, max_size=4).flatmap(
    lambda found: st.fixed_dictionaries(
        {
            **{
                name: st.just(length)
                for name, length in zip(("connect", "firstByte", "requestTimeout", "total"), sorted(found), strict=True)
            },
            "idle": st.integers(1, max(found)),
        }
    )
)
timeouts = _with_defaults_left_out(_ordered_timeouts, _DEFAULT_TIMEOUTS, _in_order)
"""The five timeouts in milliseconds, those of `upstream` and `limits.requestTimeout` in one."""


@st.composite
def models(draw: st.DrawFn) -> Fields:
    """Return `spec.model`."""
    model = draw(
        optional(
            name=model_names,
            maxTokens=st.integers(1, 128_000),
            effort=st.sampled_from(["low", "medium", "high", "xhigh", "max"]),
            fallbacks=st.lists(model_names, max_size=3, unique=True),
        )
    )
    if model.get("name", "claude-sonnet-5-5") in model.get("fallbacks", ()):
        del model["fallbacks"]
    return model


def _as_durations(fields: st.SearchStrategy[Fields]) -> st.SearchStrategy[Fields]:
    return fields.map(lambda found: {name: duration_text(length) for name, length in found.items()})


_retries = st.builds(
    lambda counts, backoffs: counts | backoffs,
    optional(maxAttempts=st.integers(1, 10), budgetPercent=st.integers(0, 100)),
    _as_durations(
        _with_defaults_left_out(
            st.lists(st.integers(0, _HOUR), min_size=2, max_size=2).map(
                lambda found: dict(zip(_DEFAULT_BACKOFFS, sorted(found), strict=True))
            ),
            _DEFAULT_BACKOFFS,
            lambda found: bool(found["initialBackoff"] <= found["maxBackoff"]),
        )
    ),
)
_drain = _as_durations(
    _with_defaults_left_out(
        st.fixed_dictionaries({"delay": st.integers(0, _HOUR // 2), "timeout": st.integers(0, _HOUR // 2)}),
        _DEFAULT_DRAIN,
        lambda found: bool(found["delay"] + found["timeout"] <= _HOUR),
    )
)
_autoscaling = st.builds(
    lambda bounds, rest: bounds | rest,
    _with_defaults_left_out(
        st.lists(st.integers(1, 1000), min_size=2, max_size=2).map(lambda found: dict(zip(_DEFAULT_BOUNDS, sorted(found), strict=True))),
        _DEFAULT_BOUNDS,
        lambda found: bool(found["minReplicas"] <= found["maxReplicas"]),
    ),
    optional(enabled=st.booleans(), targetInFlightPerPod=st.integers(1, 10_000), scaleDownStabilization=durations(0, _HOUR)),
)
_shares = st.integers(0, 1000) | st.integers(0, 100).map(lambda share: f"{share}%")
_rollout = st.builds(
    lambda shares, rest: shares | rest,
    _with_defaults_left_out(
        st.fixed_dictionaries({"maxSurge": _shares, "maxUnavailable": _shares}).filter(lambda found: not _is_frozen(found)),
        _DEFAULT_SHARES,
        lambda found: not _is_frozen(found),
    ),
    optional(minReadySeconds=st.integers(0, 300), progressDeadline=durations(301_000, 24 * _HOUR)),
)


def _is_frozen(shares: Fields) -> bool:
    return all(str(shares[name]).removesuffix("%") == "0" for name in _DEFAULT_SHARES)


_periods = st.integers(1, 3600).map(lambda seconds: duration_text(seconds * 1000))
_failures = st.integers(1, 1000)
_probe = optional(period=_periods, timeout=_periods, failureThreshold=_failures)
_limits = optional(
    maxRequestBytes=st.integers(1, 2**26),
    requestsPerSecond=st.integers(1, 1_000_000),
    perClientRequestsPerSecond=st.integers(1, 1_000_000),
    maxInFlight=st.integers(1, 10_000),
    queue=st.integers(0, 10_000),
    queueTimeout=durations(0, _HOUR),
    trustedProxies=st.lists((addresses | networks()).map(str), max_size=4, unique=True),
)
_fields = optional(
    replicas=st.integers(0, 1000),
    image=st.sampled_from(["chat:1", "registry.example.com:5000/team/chat:1.2", f"chat@sha256:{'a' * 64}"]),
    imagePullPolicy=st.sampled_from(["IfNotPresent", "Always", "Never"]),
    imagePullSecrets=st.lists(object_names, max_size=8, unique=True).map(lambda found: [{"name": name} for name in found]),
    model=models(),
    credentials=optional(secretRef=optional(name=object_names, key=data_keys)),
    clientAuth=optional(mode=st.sampled_from(["None", "Token"]), secretRef=named(key=data_keys)),
    api=optional(
        corsAllowedOrigins=st.just(["*"]) | st.lists(hosts.map(lambda host: f"https://{host}"), max_size=3, unique=True),
    ),
    rollout=_rollout,
    drain=_drain,
    probes=optional(startup=optional(period=_periods, failureThreshold=_failures), liveness=_probe, readiness=_probe),
    slo=optional(
        p95=durations(1, _HOUR),
        errorRatePercent=percentages,
        availabilityPercent=percentages,
        window=st.sampled_from(["5m", "1h"]),
        minSamples=st.integers(1, 1_000_000),
    ),
    service=optional(type=st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]), port=ports, annotations=annotations),
    ingress=st.fixed_dictionaries(
        {"host": hosts | hosts.map(lambda host: f"*.{host}")},
        optional={"className": object_names, "tlsSecretName": object_names, "annotations": annotations},
    ),
    networkPolicy=optional(enabled=st.booleans(), **{"from": peers}),
    resources=optional(
        requests=optional(cpu=st.sampled_from(["250m", "0.5", 1]), memory=st.sampled_from(["128Mi", "0.25Gi", 134217728])),
        limits=optional(cpu=st.sampled_from(["1000m", "1.5", 2]), memory=st.sampled_from(["512Mi", "1Gi", "536870912"])),
    ),
    podDisruptionBudget=optional(enabled=st.booleans()),
    topologySpread=optional(enabled=st.booleans()),
    scheduling=optional(nodeSelector=labels, tolerations=tolerations, affinity=st.sampled_from(affinities), priorityClassName=object_names),
    logging=optional(level=st.sampled_from(["debug", "info", "warning", "error"]), format=st.sampled_from(["json", "console"])),
    monitoring=optional(podMonitor=st.booleans(), labels=labels, **{"from": peers}),
    podLabels=labels,
    podAnnotations=annotations,
    env=variables,
)
_upstream = optional(
    baseURL=base_urls,
    caBundleRef=named(key=data_keys),
    retries=_retries,
    circuitBreaker=optional(failureThreshold=st.integers(1, 1000), resetTimeout=durations(1, _HOUR)),
)
_prompt = optional(systemPrompt=prompts) | st.builds(lambda found: {"systemPromptFrom": {"configMapKeyRef": found}}, named(key=data_keys))


@st.composite
def _any_spec(draw: st.DrawFn) -> Fields:
    spec = draw(_fields) | draw(_prompt)
    upstream, limits, autoscaling = draw(_upstream), draw(_limits), draw(_autoscaling)
    waits = {name: duration_text(length) for name, length in draw(timeouts).items()}
    if "requestTimeout" in waits:
        limits["requestTimeout"] = waits.pop("requestTimeout")
    if waits:
        upstream["timeouts"] = waits
    if autoscaling.get("enabled"):
        autoscaling["targetInFlightPerPod"] = min(autoscaling.get("targetInFlightPerPod", 20), limits.get("maxInFlight", 200))
    parts = {"upstream": upstream, "limits": limits, "autoscaling": autoscaling}
    return spec | {name: part for name, part in parts.items() if part}


specs = _any_spec()
"""Any spec that the API server would accept."""


def described_examples(model: type[Model]) -> Iterator[Fields]:
    """Yield a spec for each example that a description shows, with what else that part requires."""
    required = {
        str(field.alias): _example(field.annotation, field.examples) for field in model.model_fields.values() if field.is_required()
    }
    for field in model.model_fields.values():
        for example in [*(field.examples or ()), *(described_examples(part) if (part := _part(field.annotation)) else ())]:
            yield required | {str(field.alias): example}


def _example(annotation: object, examples: list[object] | None) -> object:
    part = _part(annotation)
    return next(described_examples(part)) if part else (examples or [None])[0]


def _part(annotation: object) -> type[Model] | None:
    """Return the model that a field holds, which may be optional."""
    parts = () if get_origin(annotation) is tuple else (annotation, *get_args(annotation))
    found = [part for part in parts if isinstance(part, type) and issubclass(part, Model)]
    return found[0] if found else None
