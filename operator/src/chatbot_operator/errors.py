"""Every error that the operator raises on purpose.

OperatorError
├── SettingsInvalid         the process's own environment is wrong
├── SpecInvalid             a ChatbotDeployment that the models refuse
├── SchemaUnsupported       a model that a structural schema cannot express
├── ReportInvalid           a pod's report that cannot be trusted or read
├── LeadershipLost          another process may be the leader now: nothing is written
└── ClusterError            the API server said no, or nothing
    ├── ObjectNotFound      404
    ├── ObjectConflict      409
    ├── AccessDenied        401, 403 of RBAC: the operator's rights are missing
    ├── RequestRefused      400, 403 of admission, 422: the same request cannot succeed as things are
    ├── WatchExpired        410
    ├── ClusterUnavailable  429, 5xx, network: later may be better
    │   └── WebhookUnavailable  500: an admission webhook that must be asked does not answer
    ├── BeingDeleted        a child, or what has its name, is about to go
    └── ForeignObject       a child's name is taken by an object that is not ours
"""


class OperatorError(Exception):
    """The root: catch it to catch only what the operator raises on purpose."""


class SettingsInvalid(OperatorError):
    """The environment of the operator does not make valid settings."""


class SpecInvalid(OperatorError):
    """A ChatbotDeployment that cannot be read; the message names each field and what is wrong with it."""


class SchemaUnsupported(OperatorError):
    """A model says something that a structural schema of a CRD cannot say."""


class ReportInvalid(OperatorError):
    """A pod answered with something that is not a report of a known version."""


class LeadershipLost(OperatorError):
    """The Lease was not renewed in time: another process may be the leader."""


class ClusterError(OperatorError):
    """The API server refused a request or could not be reached."""

    def __init__(self, message: str, *, status_code: int | None = None, reason: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class ObjectNotFound(ClusterError):
    """The object does not exist (any more)."""


class ObjectConflict(ClusterError):
    """A precondition (uid, resourceVersion) did not hold, or the object exists already."""


class AccessDenied(ClusterError):
    """The operator's role does not allow the request."""


class RequestRefused(ClusterError):
    """The API server finds the object invalid: repeating the request cannot help."""


class WatchExpired(ClusterError):
    """The resourceVersion of a watch is too old: list again."""


class ClusterUnavailable(ClusterError):
    """The API server is overloaded, failing or unreachable."""


class WebhookUnavailable(ClusterUnavailable):
    """The API server is well, but may not accept the object without a webhook that it cannot ask."""


class BeingDeleted(ClusterError):
    """A child that must be made anew, is not wanted any more, or belongs to an earlier resource is there until its finalizers are done."""


class ForeignObject(ClusterError):
    """A child's name is taken by an object that this operator does not own."""
