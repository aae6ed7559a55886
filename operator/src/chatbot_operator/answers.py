"""What the API server answered: an object of its API, or the error of errors.py that the answer stands for.

Something on the way may answer in its place: what is no object of the API is an outage, never an empty list.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import aiohttp
import orjson

from chatbot_operator import errors
from chatbot_operator.resource import Manifest

_MAX_QUOTED: Final = 100
_MANAGED_FIELDS: Final = b',"managedFields":[{'
_OF_ANY_SHAPE: Final = b'{"apiVersion":'
"""How custom resources and lists of them begin, whose fields the API server sorts; other objects begin with their kind."""
_MUCH_BYTES: Final = 1 << 16
"""Who gets so much at a time is behind, and would save nothing by waiting for more."""

_RBAC_REFUSAL: Final = re.compile(r'User ".*" cannot \w+ resource')
_WEBHOOK_FAILURE: Final = "failed calling webhook"
_ADMISSION_REFUSAL: Final = re.compile(r'admission webhook ".*" denied the request|ValidatingAdmissionPolicy \'.*\' denied request')
"""Who refuses in these words chose the code of the answer: an outage, a conflict or a missing right by it is not the API server's."""
_KINDS: Final[dict[int, type[errors.ClusterError]]] = {
    401: errors.AccessDenied,
    403: errors.AccessDenied,
    404: errors.ObjectNotFound,
    409: errors.ObjectConflict,
    410: errors.WatchExpired,
    429: errors.ClusterUnavailable,
}


def failure_of(status_code: int, body: bytes, *, what: str, retry_after: str | None) -> errors.ClusterError:
    """Return the error for an answer that is not a success."""
    try:
        status: Manifest = orjson.loads(body)
        message, reason = str(status.get("message") or ""), str(status.get("reason") or "")
        causes = [(cause.get("reason"), cause.get("field")) for cause in (status.get("details") or {}).get("causes") or ()]
    except (orjson.JSONDecodeError, AttributeError):
        message, reason, causes = body[:200].decode(errors="replace"), "", []
    if any(why == "NamespaceTerminating" for why, _ in causes):
        reason = "NamespaceTerminating"
    if any(field == "metadata.uid" for _, field in causes):
        status_code = 409  # the precondition of an apply, which the API server words as an invalid change of the uid
    kind = _kind_of(status_code, message)
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return kind(message or f"{what}: HTTP {status_code}", status_code=status_code, reason=reason, retry_after_seconds=seconds)


def _kind_of(status_code: int, message: str) -> type[errors.ClusterError]:
    other = errors.RequestRefused if 400 <= status_code < 500 else errors.ClusterUnavailable  # noqa: PLR2004
    usual = _KINDS.get(status_code, other)
    if _ADMISSION_REFUSAL.search(message):
        return errors.WebhookUnavailable if usual is errors.ClusterUnavailable else errors.RequestRefused
    match status_code:
        case 403 if not _RBAC_REFUSAL.search(message):  # admission's: quota, Pod Security, policies, webhooks
            return errors.RequestRefused
        case 500 if _WEBHOOK_FAILURE in message:
            return errors.WebhookUnavailable
        case _:
            return usual


def decode(data: bytes, *, what: str) -> Manifest:
    """Return the JSON object in `data`; anything else is not from the API server, but from something on the way to it."""
    try:
        decoded = _loads(data)
    except orjson.JSONDecodeError as error:
        raise errors.ClusterUnavailable(f"{what}: the answer is no JSON: {data[:_MAX_QUOTED]!r}") from error
    if not isinstance(decoded, dict):
        raise errors.ClusterUnavailable(f"{what}: the answer is no JSON object: {data[:_MAX_QUOTED]!r}")
    return decoded


def _loads(data: bytes) -> object:
    """Return what is in `data`, mostly without the managedFields, which take two thirds of the time; `trim` leaves out the others.

    Their end is the first bracket behind a brace, for there are no other lists in them. One in a name would be taken for it, too, but
    leaves no JSON behind: from there on strings are outside and the rest inside, so the next key, which begins with a letter or a dot,
    or an escaped quote stands where only punctuation may. Custom resources may have fields of that name of their own, and are let be.
    """
    if data.startswith(_OF_ANY_SHAPE):
        return orjson.loads(data)
    head, *pieces = data.split(_MANAGED_FIELDS)
    try:
        return orjson.loads(head + b"".join(piece.partition(b"}]")[2] for piece in pieces))
    except orjson.JSONDecodeError:
        return orjson.loads(data)


def check_object(manifest: object, *, what: str) -> Manifest:
    """Return what is an object, or a list, of the Kubernetes API."""
    match manifest:
        case {"metadata": {"resourceVersion": str()}} if isinstance(manifest, dict):
            return manifest
    raise errors.ClusterUnavailable(f"{what}: the answer is no object of the API: {str(manifest)[:_MAX_QUOTED]}")


def trim(manifest: Manifest) -> Manifest:
    """Leave out managedFields, which nothing here reads and which are half of many an object."""
    manifest.get("metadata", {}).pop("managedFields", None)
    for item in manifest.get("items") or ():
        item.get("metadata", {}).pop("managedFields", None)
    return manifest


async def read_lines(
    response: aiohttp.ClientResponse, *, pause: Callable[[], Awaitable[None]] | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield the lines of any length, which aiohttp's own iteration refuses; with a `pause` between reads, what came in it together.

    What has come is lost with a connection that breaks during a pause: the next watch, from the last line's version, brings it again.
    """
    pending = b""
    async for chunk in response.content.iter_any():
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
        if pause is not None and len(chunk) < _MUCH_BYTES:
            await pause()


def words_of(error: Exception) -> str:
    """Return what went wrong; some errors have no words but their name."""
    return str(error) or type(error).__name__
