"""The OpenAPI description of the chat service, generated from its models and its error tree; nothing is written twice."""

from typing import Any

from chatbot_service.errors import Problem
from chatbot_service.validation import ChatRequest

Document = dict[str, Any]


def describe() -> Document:
    """Return an OpenAPI 3.1 document of every endpoint on the service's port."""
    request = ChatRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = {**request.pop("$defs", {}), "ChatRequest": request, "Answer": _ANSWER, "Problem": _PROBLEM, "Health": _HEALTH}
    health: Document = {
        "get": {"responses": {"200": _content("application/json", "Health"), "503": _content("application/json", "Health")}}
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "chatbot-service", "version": "1"},
        "paths": {"/api/chat": {"post": _chat()}, "/health": health, "/health/live": health, "/health/ready": health},
        "components": {"schemas": schemas},
    }


def _chat() -> Document:
    answers = _content("application/json", "Answer")
    answers["content"]["text/event-stream"] = {"schema": _EVENT}
    problems = {str(status): _content("application/problem+json", "Problem") for status in sorted(_statuses(Problem))}
    return {
        "requestBody": {"required": True, **_content("application/json", "ChatRequest")},
        "responses": {"200": answers, **problems},
    }


def _statuses(problem: type[Problem]) -> set[int]:
    return {problem.status}.union(*(_statuses(kind) for kind in problem.__subclasses__()))


def _content(media_type: str, schema: str) -> Document:
    return {"description": schema, "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _object(**properties: Document) -> Document:
    return {"type": "object", "required": list(properties), "properties": properties}


_TEXT: Document = {"type": "string", "minLength": 1}
_COUNT: Document = {"type": "integer", "minimum": 0}
_ANSWER = _object(
    id=_TEXT,
    model=_TEXT,
    message=_TEXT,
    stop_reason=_TEXT,
    usage=_object(input_tokens=_COUNT, output_tokens=_COUNT),
    correlation_id=_TEXT,
)
_PROBLEM = _object(type=_TEXT, title=_TEXT, status={"type": "integer", "minimum": 400}, detail=_TEXT, code=_TEXT, correlation_id=_TEXT)
_EVENT = _object(event={"enum": ["start", "delta", "ping", "done", "error"]}, data=_TEXT)
_HEALTH = _object(status=_TEXT, timestamp=_TEXT)
