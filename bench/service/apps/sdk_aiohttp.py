"""The cheapest route inside the public SDK: its aiohttp backend, raw responses, own framing. Run as `sdk_aiohttp.py PORT UPSTREAM`."""

import sys
from collections.abc import AsyncIterator

import anthropic
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PORT, UPSTREAM = int(sys.argv[1]), sys.argv[2]
MODEL = "claude-sonnet-5-5"

client = anthropic.AsyncAnthropic(api_key="bench", base_url=UPSTREAM, max_retries=0, http_client=anthropic.DefaultAioHttpClient())


async def chat(request: Request) -> Response:
    """Answer as JSON or as server-sent events."""
    body = orjson.loads(await request.body())
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": body["message"]}]
    if body.get("stream"):
        return StreamingResponse(events(messages), media_type="text/event-stream")
    response = await client.messages.with_raw_response.create(model=MODEL, max_tokens=1024, messages=messages)
    message = orjson.loads(response.http_response.content)
    text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    answer = {"id": message["id"], "message": text, "stop_reason": message["stop_reason"]}
    return Response(orjson.dumps(answer), media_type="application/json")


async def events(messages: list[anthropic.types.MessageParam]) -> AsyncIterator[bytes]:
    """Yield the events of one read together."""
    create = client.messages.with_streaming_response.create
    rest = b""
    async with create(model=MODEL, max_tokens=1024, messages=messages, stream=True) as response:
        async for chunk in response.http_response.aiter_bytes():
            *frames, rest = (rest + chunk).split(b"\n\n")
            if pieces := b"".join(map(delta, frames)):
                yield pieces
    yield b"event: done\ndata: {}\n\n"


def delta(frame: bytes) -> bytes:
    """Return the client's event for one of the API's, or nothing."""
    event = orjson.loads(frame.partition(b"data: ")[2])
    if event["type"] != "content_block_delta":
        return b""
    return b"event: delta\ndata: " + orjson.dumps({"text": event["delta"]["text"]}) + b"\n\n"


async def health(_request: Request) -> Response:
    """Answer that it is there."""
    return PlainTextResponse("ok")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/api/chat", chat, methods=["POST"]), Route("/health", health)])
    uvicorn.run(app, port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="warning", backlog=4096)
