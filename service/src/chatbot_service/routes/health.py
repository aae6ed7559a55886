"""Probes, answered from memory: GET /health, /health/live, /health/ready. Their fields are a contract."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from chatbot_service.durations import format_duration
from chatbot_service.runtime import Runtime
from chatbot_service.telemetry import timestamp


class Health:
    """The three probes of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def overall(self, _request: Request) -> Response:
        """GET /health: 200 while the service serves, degraded or not."""
        readiness = self._runtime.readiness
        status = "unhealthy" if not readiness.ready else "degraded" if self._runtime.degraded else "healthy"
        body = {
            "status": status,
            "timestamp": timestamp(),
            "uptime": format_duration(round(self._runtime.uptime_seconds)),
            "version": f"v{self._runtime.settings.version.removeprefix('v')}",
            "liveness": self._liveness(),
            "readiness": self._readiness(),
        }
        return _response(body, ok=readiness.ready)

    async def live(self, _request: Request) -> Response:
        """GET /health/live: 200 as long as the process can answer."""
        return _response(_with_timestamp(self._liveness()), ok=True)

    async def ready(self, _request: Request) -> Response:
        """GET /health/ready: 200 when traffic may come here."""
        return _response(_with_timestamp(self._readiness()), ok=self._runtime.readiness.ready)

    def _liveness(self) -> dict[str, Any]:
        latency = format_duration(round(self._runtime.loop_lag_seconds, 3))
        return {"status": "healthy", "checks": [{"name": "process", "healthy": True, "latency": latency}]}

    def _readiness(self) -> dict[str, Any]:
        readiness = self._runtime.readiness
        reason = readiness.reason
        check: dict[str, Any] = {"name": "anthropic_api", "healthy": reason is None and not self._runtime.degraded}
        check["latency"] = format_duration(round(readiness.check_latency_seconds, 3))
        if reason is not None:
            check["error"] = reason
        return {"status": "ready" if reason is None else "not_ready", "checks": [check]}


def _with_timestamp(part: dict[str, Any]) -> dict[str, Any]:
    return {"status": part["status"], "timestamp": timestamp(), "checks": part["checks"]}


def _response(body: dict[str, Any], *, ok: bool) -> Response:
    headers = {"cache-control": "no-store"} if ok else {"cache-control": "no-store", "retry-after": "1"}
    return Response(orjson.dumps(body), status_code=200 if ok else 503, headers=headers, media_type="application/json")
