"""What the conditions beside Ready, Reconciling and Stalled can say: their reasons, and the status that goes with each."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

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


class ConditionReason(StrEnum):
    """Reasons of the conditions here; those of Ready, Reconciling and Stalled are `rollout.READY_REASONS`."""

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
"""Nothing else can be said: the status of a condition is taken from here. docs/resource.md shows this table."""
