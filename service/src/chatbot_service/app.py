"""Both applications, every route and every middleware on one screen."""

from collections.abc import Awaitable, Sequence

from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot_service.admission import Admission
from chatbot_service.cors import Preflights
from chatbot_service.errors import HttpProblem
from chatbot_service.journal import Record
from chatbot_service.middleware import Exchanges
from chatbot_service.records import AccessLog, Counts
from chatbot_service.routes.admin import Admin
from chatbot_service.routes.chat import Chat
from chatbot_service.routes.debug import Debug
from chatbot_service.routes.health import Health
from chatbot_service.runtime import Runtime

CHAT = "/api/chat"


def create_app(runtime: Runtime) -> ASGIApp:
    """Return what clients talk to."""
    settings = runtime.settings
    origins = settings.cors_allowed_origins
    routes = [
        Route(CHAT, Admission(Chat(runtime), runtime=runtime), methods=["POST"]),
        *_health_routes(runtime),
    ]
    records: list[Record] = [AccessLog(runtime), Counts(runtime, routes=[route.path for route in routes], chat_route=CHAT)]
    return _application(
        routes=routes,
        middleware=[
            Middleware(Exchanges, journal=runtime.journal, records=records, trusted_proxies=settings.trusted_proxies, origins=origins),
            *([Middleware(Preflights, origins=origins)] if origins else []),
        ],
    )


def create_admin_app(runtime: Runtime) -> ASGIApp:
    """Return what Prometheus, the operator and kubelet talk to."""
    admin = Admin(runtime)
    return _application(
        routes=[
            Route("/report", admin.report),
            *([Route("/metrics", admin.metrics)] if runtime.settings.metrics_enabled else []),
            *_health_routes(runtime),
            *(Debug().routes if runtime.settings.debug_endpoints else []),
        ],
        middleware=[
            Middleware(Exchanges, journal=runtime.journal, records=[AccessLog(runtime, level="debug")]),
        ],
    )


def _application(*, routes: list[Route], middleware: list[Middleware]) -> ASGIApp:
    app: ASGIApp = Routes(routes)
    for layer in reversed(middleware):
        app = layer.cls(app, *layer.args, **layer.kwargs)
    return app


def _health_routes(runtime: Runtime) -> list[Route]:
    health = Health(runtime)
    return [
        Route("/health", health.overall),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
    ]


class Routes:
    """Starlette's routes by their paths, which have no parameters. Its router would try one after the other."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes
        self._routes = {route.path: route for route in routes}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request; raises HttpProblem when there is no such path, or no such method there."""
        method, path = scope["method"], scope["path"]
        route = self._routes.get(path)
        if route is None:
            raise HttpProblem(404, f"{method} {path}: Not Found.")
        methods = route.methods or ()
        if method not in methods:
            raise HttpProblem(405, f"{method} {path}: Method Not Allowed.", headers={"Allow": ", ".join(sorted(methods))})
        return route.app(scope, receive, send)
