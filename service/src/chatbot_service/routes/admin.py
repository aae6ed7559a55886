"""What Prometheus and the operator read on the admin port: GET /metrics and GET /report."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from chatbot_service.gauges import Gauges
from chatbot_service.metrics import CONTENT_TYPE
from chatbot_service.report import build_report
from chatbot_service.runtime import Runtime


class Admin:
    """The admin port's own endpoints."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        runtime.metrics.add(Gauges(runtime))

    async def metrics(self, _request: Request) -> Response:
        """GET /metrics in Prometheus' text form."""
        return Response(self._runtime.metrics.render(), media_type=CONTENT_TYPE)

    async def report(self, _request: Request) -> Response:
        """GET /report, version 1."""
        return Response(orjson.dumps(build_report(self._runtime)), media_type="application/json")
