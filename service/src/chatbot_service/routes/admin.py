"""What Prometheus and the operator read on the admin port: GET /metrics and GET /report."""

from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request
from starlette.responses import Response

from chatbot_service.imports import import_in_thread
from chatbot_service.metrics import CONTENT_TYPE
from chatbot_service.report import build_report
from chatbot_service.runtime import Runtime

if TYPE_CHECKING:
    from chatbot_service.exposition import Exposition


class Admin:
    """The admin port's own endpoints."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._exposition: Exposition | None = None

    async def metrics(self, _request: Request) -> Response:
        """GET /metrics in Prometheus' text form."""
        if self._exposition is None:
            self._exposition = (await import_in_thread("chatbot_service.exposition")).Exposition.of(self._runtime)
        self._runtime.journal.settle()
        return Response(self._exposition.render(), media_type=CONTENT_TYPE)

    async def report(self, _request: Request) -> Response:
        """GET /report, version 1."""
        self._runtime.journal.settle()
        return Response(orjson.dumps(build_report(self._runtime)), media_type="application/json")
