"""GET /debug/stacks, /debug/heap and /debug/profile on the admin port, when DEBUG_ENDPOINTS is on."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from chatbot_service import debug
from chatbot_service.errors import HttpProblem

DEFAULT_SECONDS = 10.0
MAX_SECONDS = 60.0


class Debug:
    """The endpoints; one measurement at a time, since each would measure the other."""

    def __init__(self) -> None:
        self._measuring = False

    @property
    def routes(self) -> list[Route]:
        """Return every route."""
        return [Route("/debug/stacks", self.stacks), Route("/debug/heap", self.heap), Route("/debug/profile", self.profile)]

    async def stacks(self, _request: Request) -> Response:
        """GET /debug/stacks: what every thread and task is at."""
        return _text(debug.stacks())

    async def heap(self, request: Request) -> Response:
        """GET /debug/heap?seconds=: what is allocated within that time and kept."""
        seconds = _seconds(request)
        with self._alone():
            return _text(await debug.heap(seconds))

    async def profile(self, request: Request) -> Response:
        """GET /debug/profile?seconds=&format=: where the CPU time goes, as a table or as collapsed stacks for a flame graph."""
        seconds = _seconds(request)
        render = {"table": debug.table, "collapsed": debug.collapsed}.get(request.query_params.get("format", "table"))
        if render is None:
            raise HttpProblem(400, "format: must be table or collapsed.")
        with self._alone():
            return _text(render(await debug.profile(seconds)))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._measuring:
            raise HttpProblem(409, "A heap trace or a profile is being taken; one at a time.")
        self._measuring = True
        try:
            yield
        finally:
            self._measuring = False


def _seconds(request: Request) -> float:
    """Return how long to measure; raises HttpProblem for anything but a number above 0 and up to 60."""
    try:
        seconds = float(request.query_params.get("seconds", DEFAULT_SECONDS))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_SECONDS:
        raise HttpProblem(400, f"seconds: must be a number above 0 and up to {MAX_SECONDS:.0f}.")
    return seconds


def _text(content: str) -> Response:
    return PlainTextResponse(content, headers={"cache-control": "no-store"})
