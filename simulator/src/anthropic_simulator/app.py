"""The application: every route and middleware on one screen."""

from typing import Any, NoReturn

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anthropic_simulator.answers import count_input_tokens, derive_answer
from anthropic_simulator.behaviour import Behaviour, Faults, parse_behaviour
from anthropic_simulator.delivery import Delivery, Start, plan_json, plan_stream
from anthropic_simulator.edge import EdgeMiddleware
from anthropic_simulator.errors import ApiError, InvalidRequest, NotFound
from anthropic_simulator.ledger import Ledger, LedgerMiddleware
from anthropic_simulator.messages import count_deltas, encode_message, encode_stream
from anthropic_simulator.models import find_callable_model, find_model, list_models
from anthropic_simulator.request import CountTokensRequest, MessagesRequest
from anthropic_simulator.validation import check_limits, parse_request

_GARBAGE = b"<html><body>This is no JSON: {]</body></html>"


def create_app(behaviour: Behaviour | None = None) -> Starlette:
    """Return the simulator, with the faults of `behaviour` from the start."""
    simulator = _Simulator(behaviour or Behaviour())
    app = Starlette(
        routes=[
            Route("/v1/messages", simulator.create_message, methods=["POST"]),
            Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
            Route("/v1/models", get_models, methods=["GET"]),
            Route("/v1/models/{model_id}", get_model, methods=["GET"]),
            Route("/_simulator/behaviour", simulator.get_behaviour, methods=["GET"]),
            Route("/_simulator/behaviour", simulator.put_behaviour, methods=["PUT"]),
            Route("/_simulator/requests", simulator.get_requests, methods=["GET"]),
            Route("/_simulator/requests", simulator.delete_requests, methods=["DELETE"]),
            Route("/healthz", get_health, methods=["GET"]),
        ],
        middleware=[Middleware(LedgerMiddleware, ledger=simulator.ledger), Middleware(EdgeMiddleware)],
        exception_handlers={HTTPException: _raise_api_error},
    )
    app.router.redirect_slashes = False
    return app


class _Simulator:
    """The endpoints that share state: the faults in force and the counts."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.ledger = Ledger()
        self._faults = Faults(behaviour)

    async def create_message(self, request: Request) -> Delivery:
        """POST /v1/messages; validation comes first, as in the API, then the faults."""
        asked = parse_request(MessagesRequest, request.state.body)
        check_limits(asked, find_callable_model(asked.model))
        behaviour = self._faults.behaviour
        if error := self._faults.next_error():
            raise error
        if behaviour.redirect_to is not None:
            location = (b"location", behaviour.redirect_to.encode("ascii"))
            return Delivery([Start(307, (location, (b"content-length", b"0")))])
        if behaviour.garbage:
            return Delivery(_garbage(stream=asked.stream))
        return self._deliver(asked, request, behaviour)

    def _deliver(self, asked: MessagesRequest, request: Request, behaviour: Behaviour) -> Delivery:
        answer = derive_answer(asked, body=request.state.body, events=behaviour.events)
        overload = ApiError(529)
        if asked.stream:
            frames = encode_stream(answer, events=behaviour.events)
            return Delivery(plan_stream(frames, behaviour, overloaded=overload.body(request.state.request_id)))
        if behaviour.overload_at is not None:
            raise overload
        deltas = count_deltas(answer, events=behaviour.events) if behaviour.pace else 0
        return Delivery(plan_json(encode_message(answer), behaviour, deltas=deltas))

    async def get_behaviour(self, _: Request) -> Response:
        """GET /_simulator/behaviour."""
        return _json(self._faults.current())

    async def put_behaviour(self, request: Request) -> Response:
        """PUT /_simulator/behaviour: replaces the whole; requests under way keep the one that they began with."""
        self._faults = Faults(parse_behaviour(request.state.body))
        return _json(self._faults.current())

    async def get_requests(self, _: Request) -> Response:
        """GET /_simulator/requests."""
        return _json(self.ledger.snapshot())

    async def delete_requests(self, _: Request) -> Response:
        """DELETE /_simulator/requests: forgets the counts."""
        self.ledger.forget()
        return _json(self.ledger.snapshot())


async def count_tokens(request: Request) -> Response:
    """POST /v1/messages/count_tokens."""
    asked = parse_request(CountTokensRequest, request.state.body)
    find_callable_model(asked.model)
    return _json({"input_tokens": count_input_tokens(asked)})


async def get_models(request: Request) -> Response:
    """GET /v1/models."""
    query = request.query_params
    try:
        limit = int(query.get("limit", "20"))
    except ValueError as error:
        raise InvalidRequest("limit: Input should be a valid integer") from error
    page = list_models(
        lifecycles=[*query.getlist("lifecycle"), *query.getlist("lifecycle[]")],
        limit=limit,
        after_id=query.get("after_id"),
        before_id=query.get("before_id"),
    )
    return _json(page.model_dump())


async def get_model(request: Request) -> Response:
    """GET /v1/models/{model_id}; a retired one is still shown."""
    return _json(find_model(request.path_params["model_id"]).model_dump())


async def get_health(_: Request) -> Response:
    """GET /healthz, for probes; not counted."""
    return _json({"status": "ok"})


def _garbage(*, stream: bool) -> list[Start | bytes]:
    body = b"event: message_start\ndata: " + _GARBAGE + b"\n\n" if stream else _GARBAGE
    content_type = b"text/event-stream; charset=utf-8" if stream else b"application/json"
    return [Start(200, ((b"content-type", content_type), (b"content-length", b"%d" % len(body)))), body]


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _raise_api_error(_: Request, error: Exception) -> NoReturn:
    if isinstance(error, HTTPException) and error.status_code != NotFound().status:
        raise ApiError(error.status_code) from error
    raise NotFound from error
