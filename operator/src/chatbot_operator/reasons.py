"""What the conditions can say: their types, their reasons, and which status goes with each."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

from chatbot_operator.observed import ProblemReason
from chatbot_operator.pods import PodReason

ConditionStatus = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """The aspects of the state, in the order in which they are shown."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    AVAILABLE = "Available"
    CREDENTIALS_VALID = "CredentialsValid"
    MODEL_AVAILABLE = "ModelAvailable"
    UPSTREAM_AVAILABLE = "UpstreamAvailable"
    SLO_MET = "SLOMet"
    SCALE_OVERRIDDEN = "ScaleOverridden"


class Reason(StrEnum):
    """Reasons of Ready, Reconciling and Stalled, beside those of failing pods and of a Problem."""

    PODS_READY = "PodsReady"
    SCALED_TO_ZERO = "ScaledToZero"
    CREATING = "Creating"
    ROLLING_OUT = "RollingOut"
    SCALING_DOWN = "ScalingDown"
    PAUSED = "Paused"
    PODS_UNAVAILABLE = "PodsUnavailable"
    PODS_REFUSED = "PodsRefused"
    WAITING_FOR_SECRET = "WaitingForSecret"  # noqa: S105  # a reason, not a secret
    SECRET_MISSING = "SecretMissing"  # noqa: S105  # a reason, not a secret
    WAITING_FOR_CONFIG_MAP = "WaitingForConfigMap"
    KEY_REJECTED = "KeyRejected"
    MODEL_REJECTED = "ModelRejected"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    INVALID_SPEC = "InvalidSpec"


VerdictReason = Reason | PodReason | ProblemReason

READY_REASONS: Final[tuple[VerdictReason, ...]] = tuple(sorted((*Reason, *PodReason, *ProblemReason)))
"""What Ready can say, and Reconciling or Stalled with it."""

PLANNED: Final[frozenset[VerdictReason]] = frozenset(
    {Reason.CREATING, Reason.ROLLING_OUT, Reason.SCALING_DOWN, Reason.SCALED_TO_ZERO, ProblemReason.WAITING_FOR_DELETION}
)
"""Reasons of what somebody asked for: not being Ready or Available is part of it."""


class ConditionReason(StrEnum):
    """Reasons of the conditions beside Ready, Reconciling and Stalled."""

    SCALED_TO_ZERO = "ScaledToZero"
    NO_REPORT = "NoReport"
    UNVERIFIED = "Unverified"
    PODS_SERVING = "PodsServing"
    NO_READY_PODS = "NoReadyPods"
    ACCEPTED = "Accepted"
    SECRET_MISSING = "SecretMissing"  # noqa: S105  # a reason, not a secret
    KEY_REJECTED = "KeyRejected"
    MODEL_FOUND = "ModelFound"
    MODEL_DEPRECATED = "ModelDeprecated"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_RETIRED = "ModelRetired"
    BREAKERS_CLOSED = "BreakersClosed"
    SOME_BREAKERS_OPEN = "SomeBreakersOpen"
    ALL_BREAKERS_OPEN = "AllBreakersOpen"
    OBJECTIVES_MET = "ObjectivesMet"
    OBJECTIVES_MISSED = "ObjectivesMissed"
    TOO_LITTLE_TRAFFIC = "TooLittleTraffic"
    ROLLING_OUT = "RollingOut"
    AUTOSCALING = "Autoscaling"


REASONS: Final[Mapping[ConditionType, Mapping[ConditionReason, ConditionStatus]]] = {
    ConditionType.AVAILABLE: {
        ConditionReason.PODS_SERVING: "True",
        ConditionReason.NO_READY_PODS: "False",
        ConditionReason.SCALED_TO_ZERO: "False",
    },
    ConditionType.CREDENTIALS_VALID: {
        ConditionReason.ACCEPTED: "True",
        ConditionReason.SECRET_MISSING: "False",
        ConditionReason.KEY_REJECTED: "False",
        ConditionReason.UNVERIFIED: "Unknown",
        ConditionReason.NO_REPORT: "Unknown",
        ConditionReason.SCALED_TO_ZERO: "Unknown",
    },
    ConditionType.MODEL_AVAILABLE: {
        ConditionReason.MODEL_FOUND: "True",
        ConditionReason.MODEL_DEPRECATED: "True",
        ConditionReason.MODEL_NOT_FOUND: "False",
        ConditionReason.MODEL_RETIRED: "False",
        ConditionReason.UNVERIFIED: "Unknown",
        ConditionReason.NO_REPORT: "Unknown",
        ConditionReason.SCALED_TO_ZERO: "Unknown",
    },
    ConditionType.UPSTREAM_AVAILABLE: {
        ConditionReason.BREAKERS_CLOSED: "True",
        ConditionReason.SOME_BREAKERS_OPEN: "False",
        ConditionReason.ALL_BREAKERS_OPEN: "False",
        ConditionReason.UNVERIFIED: "Unknown",
        ConditionReason.NO_REPORT: "Unknown",
        ConditionReason.SCALED_TO_ZERO: "Unknown",
    },
    ConditionType.SLO_MET: {
        ConditionReason.OBJECTIVES_MET: "True",
        ConditionReason.OBJECTIVES_MISSED: "False",
        ConditionReason.TOO_LITTLE_TRAFFIC: "Unknown",
        ConditionReason.ROLLING_OUT: "Unknown",
        ConditionReason.NO_REPORT: "Unknown",
        ConditionReason.SCALED_TO_ZERO: "Unknown",
    },
    ConditionType.SCALE_OVERRIDDEN: {ConditionReason.AUTOSCALING: "True"},
}
"""Nothing else can be said beside Ready, Reconciling and Stalled: the status is taken from here. docs/resource.md shows this table."""
