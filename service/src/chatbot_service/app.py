"""Both applications, every route and every middleware on one screen."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chatbot_service.errors import HttpProblem
from chatbot_service.middleware import AccessLog, CorrelationId, Counts, ErrorBoundary
from chatbot_service.routes.admin import Admin
from chatbot_service.routes.chat import Chat
from chatbot_service.routes.debug import Debug
from chatbot_service.routes.health import Health
from chatbot_service.runtime import Runtime


def create_app(runtime: Runtime) -> Starlette:
    """Return what clients talk to."""
    routes = [
        Route("/api/chat", Chat(runtime), methods=["POST"]),
        *_health_routes(runtime),
    ]
    return _application(
        routes=routes,
        middleware=[
            Middleware(CorrelationId, trusted_proxies=runtime.settings.trusted_proxies),
            Middleware(AccessLog),
            Middleware(Counts, runtime=runtime, routes=[route.path for route in routes], chat_routes=["/api/chat"]),
            Middleware(ErrorBoundary),
        ],
    )


def create_admin_app(runtime: Runtime) -> Starlette:
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


def _application(*, routes: list[Route], middleware: list[Middleware]) -> Starlette:
    app = Starlette(routes=routes, middleware=middleware, exception_handlers={HTTPException: _router_problem})
    app.router.redirect_slashes = False  # a redirect would name whatever host the client claims to have asked
    return app


def _health_routes(runtime: Runtime) -> list[Route]:
    health = Health(runtime)
    return [
        Route("/health", health.overall),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
    ]


async def _router_problem(request: Request, error: Exception) -> Response:
    """Hand what the router found (no such path, no such method) to the error boundary."""
    assert isinstance(error, HTTPException)  # noqa: S101  the only class it is registered for
    raise HttpProblem(error.status_code, f"{request.method} {request.url.path}: {error.detail}.", headers=error.headers) from None
