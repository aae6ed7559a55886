"""One question to one pod: the only HTTP to chat pods, over connections that are kept between the rounds.

The pods are untrusted: an answer is bounded in size and time, nothing is followed, unpacked or kept but a report of that very pod.
"""

from dataclasses import dataclass

import aiohttp

from chatbot_operator import errors, names
from chatbot_operator.fleet import MAX_REPORT_BYTES, PodReport

REPORT_PORT = 9090


@dataclass(frozen=True, slots=True)
class Target:
    """A pod that should report."""

    uid: str
    address: str


def open_session(*, timeout_seconds: float, kept_seconds: float) -> aiohttp.ClientSession:
    """Return the connections to the pods; each is kept for `kept_seconds` after an answer."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=kept_seconds, use_dns_cache=False),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": names.FIELD_MANAGER},
    )


async def fetch_report(
    session: aiohttp.ClientSession, pod: Target, *, port: int = REPORT_PORT, known: bytes = b""
) -> tuple[bytes, PodReport | None]:
    """Return the report as sent and as read, the latter None when it is the `known` one; raise ReportInvalid or what aiohttp raises."""
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    async with session.get(f"http://{host}:{port}/report", allow_redirects=False) as response:
        body = await _bounded_body(response)
        if response.status != 200:  # noqa: PLR2004
            raise errors.ReportInvalid(f"HTTP {response.status}")
    return body, None if body == known else _verified(body, pod)


def _verified(body: bytes, pod: Target) -> PodReport:
    report = PodReport.parse(body)
    if report.pod.uid != pod.uid:
        raise errors.ReportInvalid(f"the report is of another pod, {report.pod.uid}")
    return report


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, or one byte more than a report may have when it is longer than that."""
    body = b""
    while len(body) <= MAX_REPORT_BYTES:
        chunk = await response.content.read(MAX_REPORT_BYTES + 1 - len(body))
        if not chunk:
            return body
        body += chunk
    response.close()
    return body
