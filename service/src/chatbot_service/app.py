"""Both applications, every route and every middleware on one screen."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot_service.admission import Admission
from chatbot_service.errors import HttpProblem
from chatbot_service.middleware import AccessLog, CorrelationId, Counts, ErrorBoundary
from chatbot_service.routes.admin import Admin
from chatbot_service.routes.chat import Chat
from chatbot_service.routes.debug import Debug
from chatbot_service.routes.health import Health
from chatbot_service.runtime import Runtime

CORS_MAX_AGE_SECONDS = 3_600


def create_app(runtime: Runtime) -> ASGIApp:
    """Return what clients talk to."""
    routes = [
        Route("/api/chat", Admission(Chat(runtime), runtime=runtime), methods=["POST"]),
        *_health_routes(runtime),
    ]
    return _application(
        routes=routes,
        middleware=[
            Middleware(CorrelationId, trusted_proxies=runtime.settings.trusted_proxies),
            Middleware(AccessLog),
            Middleware(Counts, runtime=runtime, routes=[route.path for route in routes], chat_routes=["/api/chat"]),
            *([_cors(runtime.settings.cors_allowed_origins)] if runtime.settings.cors_allowed_origins else []),
            Middleware(ErrorBoundary),
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
            Middleware(CorrelationId),
            Middleware(AccessLog, level="debug"),
            Middleware(ErrorBoundary),
        ],
    )


def _application(*, routes: list[Route], middleware: list[Middleware]) -> ASGIApp:
    app: ASGIApp = Routes(routes)
    for layer in reversed(middleware):
        app = layer.cls(app, *layer.args, **layer.kwargs)
    return app


def _cors(origins: Sequence[str]) -> Middleware:
    """Let pages of `origins` ask; never with cookies, which nothing here looks at anyway."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Correlation-ID", "X-Request-ID"],
        expose_headers=["X-Correlation-ID", "Retry-After"],
        max_age=CORS_MAX_AGE_SECONDS,
    )


def _health_routes(runtime: Runtime) -> list[Route]:
    health = Health(runtime)
    return [
        Route("/health", health.overall),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
    ]


class Routes:
    """Starlette's router alone: the two layers that an application has around it cost what all of ours do, and do nothing here."""

    def __init__(self, routes: Sequence[Route]) -> None:
        # A redirect to the path with or without its slash would name whatever host the client claims to have asked.
        self.routes = routes
        self._router = Router(routes, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; raises HttpProblem for what the router found: no such path, no such method."""
        scope["app"] = self  # within an application the router raises its errors, by itself it would answer in plain text
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            raise HttpProblem(error.status_code, f"{scope['method']} {scope['path']}: {error.detail}.", headers=error.headers) from None
