"""This service's own calls of the API under the least that serves them: none of its features. Run as `bare.py PORT UPSTREAM`."""

import asyncio
import sys

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chatbot_service.conversation import Delta, Finished, Turn
from chatbot_service.settings import Settings
from chatbot_service.sse import encode_event
from chatbot_service.upstream import Upstream

PORT, UPSTREAM = int(sys.argv[1]), sys.argv[2]
MODEL = "claude-sonnet-5-5"
HEADERS = [(b"content-type", b"text/event-stream")]


class Chat:
    """The endpoint."""

    def __init__(self) -> None:
        self._upstream: Upstream | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as JSON or as server-sent events."""
        body = orjson.loads(await Request(scope, receive).body())
        conversation = (Turn("user", body["message"]),)
        if body["stream"]:
            streaming = asyncio.create_task(self._stream(conversation, send))
            while (await receive())["type"] != "http.disconnect":  # which also comes once the answer is whole
                pass
            streaming.cancel()
            return
        answer = await self._api().complete(MODEL, conversation, system=None, timeout_seconds=30)
        content = orjson.dumps({"id": answer.id, "message": answer.text, "stop_reason": answer.stop_reason})
        await Response(content, media_type="application/json")(scope, receive, send)

    async def _stream(self, conversation: tuple[Turn, ...], send: Send) -> None:
        reply = await self._api().open(MODEL, conversation, system=None)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            whole = False
            while not whole:
                events = await reply.read()
                whole = bool(events) and isinstance(events[-1], Finished)
                pieces = [encode_event("delta", {"text": event.text}) for event in events if isinstance(event, Delta)]
                await send({"type": "http.response.body", "body": b"".join(pieces), "more_body": not whole})
        finally:
            reply.close()

    def _api(self) -> Upstream:
        if self._upstream is None:  # within the event loop
            self._upstream = Upstream(Settings(anthropic_base_url=UPSTREAM))
            self._upstream.use_key("bench")
        return self._upstream


async def health(_request: Request) -> Response:
    """Answer that it is there."""
    return PlainTextResponse("ok")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/api/chat", Chat(), methods=["POST"]), Route("/health", health)])
    uvicorn.run(app, port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="warning", backlog=4096)
