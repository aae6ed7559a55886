"""The plain route: Starlette and the SDK as their documentation shows them. Run as `sdk_default.py PORT UPSTREAM`."""

import sys
from collections.abc import AsyncIterator

import anthropic
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PORT, UPSTREAM = int(sys.argv[1]), sys.argv[2]
MODEL = "claude-sonnet-5-5"

client = anthropic.AsyncAnthropic(api_key="bench", base_url=UPSTREAM)


async def chat(request: Request) -> Response:
    """Answer as JSON or as server-sent events."""
    body = await request.json()
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": body["message"]}]
    if body.get("stream"):
        return StreamingResponse(events(messages), media_type="text/event-stream")
    message = await client.messages.create(model=MODEL, max_tokens=1024, messages=messages)
    text = "".join(block.text for block in message.content if block.type == "text")
    return JSONResponse({"id": message.id, "message": text, "stop_reason": message.stop_reason})


async def events(messages: list[anthropic.types.MessageParam]) -> AsyncIterator[bytes]:
    """Yield one event for each piece of text."""
    async for event in await client.messages.create(model=MODEL, max_tokens=1024, messages=messages, stream=True):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            yield b"event: delta\ndata: " + orjson.dumps({"text": event.delta.text}) + b"\n\n"
    yield b"event: done\ndata: {}\n\n"


async def health(_request: Request) -> Response:
    """Answer that it is there."""
    return PlainTextResponse("ok")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/api/chat", chat, methods=["POST"]), Route("/health", health)])
    uvicorn.run(app, port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="warning", backlog=4096)
