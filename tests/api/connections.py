"""Connections to an API server that are used again: a handshake costs both sides more CPU than what is asked."""

import http.client
import ssl
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from devcluster.controlplane import ControlPlane

REQUEST_SECONDS = 30
_idle: defaultdict[ControlPlane, list[http.client.HTTPSConnection]] = defaultdict(list)


class Request(NamedTuple):
    """What is asked of the API server."""

    method: str
    path: str
    body: str | None
    headers: Mapping[str, str]


def send(plane: ControlPlane, request: Request) -> tuple[int, bytes]:
    """Send one request as administrator, from any thread; return status and content of the answer."""
    idle = _idle[plane]
    while idle:
        try:
            return _exchange(plane, idle.pop(), request)
        except (ConnectionError, ssl.SSLEOFError, http.client.HTTPException, IndexError):  # ended, or taken by another thread
            continue
    return _exchange(plane, http.client.HTTPSConnection("127.0.0.1", plane.port, context=plane._tls, timeout=REQUEST_SECONDS), request)


def close(plane: ControlPlane) -> None:
    """Close the connections that nobody uses now."""
    for connection in _idle.pop(plane, []):
        connection.close()


def _exchange(plane: ControlPlane, connection: http.client.HTTPSConnection, request: Request) -> tuple[int, bytes]:
    try:
        connection.request(*request)
        response = connection.getresponse()
        answer = response.status, response.read()
    except BaseException:
        connection.close()
        raise
    _idle[plane].append(connection)
    return answer
